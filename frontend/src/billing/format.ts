/** Numbers, money and dates for a reader, all through `Intl`. */

import { creditsToText, type MicroCredits } from "./credits.js";
import { formatCreditPrice, formatMoney } from "./money.js";

/** Formatters bound to one locale and time zone. */
export interface Formatters {
  /** BCP 47 tag that everything is written in. */
  readonly locale: string;
  /** IANA zone in which days begin and times are shown. */
  readonly timeZone: string;
  /** Credits, exact to the sixth decimal, without trailing zeros. */
  credits(amount: MicroCredits | string): string;
  /** Credits with an explicit plus or minus. */
  signedCredits(amount: MicroCredits | string): string;
  /** A price or quantity, exact to the twentieth decimal. */
  exact(amount: string): string;
  /** Credits shortened for a chart's axis, such as 1.2K. */
  axisCredits(amount: number): string;
  /** Money from a whole number of the currency's smallest unit. */
  money(minorUnits: number | bigint, currency: string): string;
  /** The price of one credit of a pack. */
  creditPrice(minorUnits: number, credits: MicroCredits, currency: string): string;
  /** A length of time as Postgres writes intervals, such as `1 year 6 mons`. */
  interval(text: string): string;
  /** A plain whole number. */
  count(amount: number): string;
  /** A share between 0 and 1 as a percentage. */
  percent(share: number): string;
  /** Day, month and year. */
  date(instant: string | Date): string;
  /** Day, month and year of a UTC day. */
  utcDate(day: Date): string;
  /** Day and month of a UTC day, for a chart's axis. */
  utcShortDate(day: Date): string;
  /** Date and time to the minute. */
  dateTime(instant: string | Date): string;
  /** Time to the second, for "as of". */
  time(instant: string | Date): string;
}

/**
 * Makes formatters.
 *
 * @param locale - BCP 47 tag.
 * @param timeZone - IANA zone; the browser's own when left out.
 */
export function createFormatters(locale: string, timeZone?: string): Formatters {
  const zone = timeZone ?? new Intl.DateTimeFormat(locale).resolvedOptions().timeZone;
  const credits = new Intl.NumberFormat(locale, { maximumFractionDigits: 6 });
  const signed = new Intl.NumberFormat(locale, { maximumFractionDigits: 6, signDisplay: "exceptZero" });
  const exact = new Intl.NumberFormat(locale, { maximumFractionDigits: 20 });
  const axis = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: zone });
  const utcDate = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });
  const utcShortDate = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
  const dateTime = new Intl.DateTimeFormat(locale, {
    dateStyle: "medium",
    timeStyle: "short",
    timeZone: zone,
  });
  const time = new Intl.DateTimeFormat(locale, { timeStyle: "medium", timeZone: zone });
  return {
    locale,
    timeZone: zone,
    credits: (amount) => credits.format(asDecimal(amount)),
    signedCredits: (amount) => signed.format(asDecimal(amount)),
    exact: (amount) => exact.format(amount as Intl.StringNumericLiteral),
    axisCredits: (amount) => axis.format(amount),
    money: (minorUnits, currency) => formatMoney(minorUnits, currency, locale),
    creditPrice: (minorUnits, amount, currency) => formatCreditPrice(minorUnits, amount, currency, locale),
    interval: (text) => formatInterval(text, locale),
    count: (amount) => credits.format(amount),
    percent: (share) => percent.format(share),
    date: (instant) => date.format(new Date(instant)),
    utcDate: (day) => utcDate.format(day),
    utcShortDate: (day) => utcShortDate.format(day),
    dateTime: (instant) => dateTime.format(new Date(instant)),
    time: (instant) => time.format(new Date(instant)),
  };
}

/** `Intl` formats decimal text exactly; a number would be rounded to 53 bits first. */
function asDecimal(amount: MicroCredits | string): Intl.StringNumericLiteral {
  return (typeof amount === "bigint" ? creditsToText(amount) : amount) as Intl.StringNumericLiteral;
}

const INTERVAL_UNITS: Readonly<Record<string, string>> = { year: "year", mon: "month", day: "day" };

/** Reads the parts that credit expiries use; an interval with others is shown as it came. */
function formatInterval(text: string, locale: string): string {
  const parts = [...text.matchAll(/(\d+) (year|mon|day)s?/g)];
  if (parts.map(([whole]) => whole).join(" ") !== text) return text;
  const words = parts.map(([, amount, unit]) =>
    new Intl.NumberFormat(locale, {
      style: "unit",
      unit: INTERVAL_UNITS[unit ?? ""] ?? "day",
      unitDisplay: "long",
    }).format(Number(amount)),
  );
  return new Intl.ListFormat(locale, { type: "unit" }).format(words);
}
