/** Numbers, money and dates for a reader, all through `Intl`. */

import { creditsToText, type MicroCredits } from "./credits.js";
import { formatMoney } from "./money.js";

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
  /** Credits shortened for a chart's axis, such as 1.2K. */
  axisCredits(amount: number): string;
  /** Money from a whole number of the currency's smallest unit. */
  money(minorUnits: number | bigint, currency: string): string;
  /** A plain whole number. */
  count(amount: number): string;
  /** A share between 0 and 1 as a percentage. */
  percent(share: number): string;
  /** Day, month and year. */
  date(instant: string | Date): string;
  /** Day and month, for a chart's axis. */
  shortDate(instant: string | Date): string;
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
  const axis = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: zone });
  const shortDate = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: zone });
  const dateTime = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", timeZone: zone });
  const time = new Intl.DateTimeFormat(locale, { timeStyle: "medium", timeZone: zone });
  return {
    locale,
    timeZone: zone,
    credits: (amount) => credits.format(asDecimal(amount)),
    signedCredits: (amount) => signed.format(asDecimal(amount)),
    axisCredits: (amount) => axis.format(amount),
    money: (minorUnits, currency) => formatMoney(minorUnits, currency, locale),
    count: (amount) => credits.format(amount),
    percent: (share) => percent.format(share),
    date: (instant) => date.format(new Date(instant)),
    shortDate: (instant) => shortDate.format(new Date(instant)),
    dateTime: (instant) => dateTime.format(new Date(instant)),
    time: (instant) => time.format(new Date(instant)),
  };
}

/** `Intl` formats decimal text exactly; a number would be rounded to 53 bits first. */
function asDecimal(amount: MicroCredits | string): Intl.StringNumericLiteral {
  return (typeof amount === "bigint" ? creditsToText(amount) : amount) as Intl.StringNumericLiteral;
}
