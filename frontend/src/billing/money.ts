/** Money as Stripe counts it: whole numbers of a currency's smallest unit. */

/**
 * Currencies whose smallest unit at Stripe is not a hundredth. ISK and UGX, which have no fractions any more, still come in hundredths.
 * `Intl` cannot be asked: it gives forints, Colombian pesos and rupiahs no decimals, because shops do not write them.
 * Source: Stripe's documentation, "Supported currencies", zero-decimal and three-decimal currencies and special cases.
 */
const STRIPE_DIGITS: ReadonlyMap<string, number> = new Map([
  ..."bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
    .split(" ")
    .map((code) => [code, 0] as const),
  ..."bhd jod kwd omr tnd".split(" ").map((code) => [code, 3] as const),
]);

/** How many decimals of the main unit the smallest unit of a currency has at Stripe. */
export function minorDigits(currency: string): number {
  return STRIPE_DIGITS.get(currency.toLowerCase()) ?? 2;
}

/**
 * Writes an amount in the smallest unit as decimal text of the main unit.
 *
 * @param minorUnits - A whole number of the currency's smallest unit (cents, yen, …).
 * @param currency - ISO 4217 code, in either case.
 * @returns For example `12.50` for 1250 usd and `500` for 500 jpy.
 */
export function minorToDecimalText(minorUnits: number | bigint, currency: string): string {
  const digits = minorDigits(currency);
  const amount = BigInt(minorUnits);
  const text = (amount < 0n ? -amount : amount).toString().padStart(digits + 1, "0");
  const point = text.length - digits;
  const sign = amount < 0n ? "-" : "";
  return digits === 0 ? sign + text : `${sign}${text.slice(0, point)}.${text.slice(point)}`;
}

/**
 * Writes money for a reader.
 *
 * @param minorUnits - A whole number of the currency's smallest unit.
 * @param currency - ISO 4217 code, in either case.
 * @param locale - BCP 47 tag.
 */
export function formatMoney(minorUnits: number | bigint, currency: string, locale: string): string {
  const text = minorToDecimalText(minorUnits, currency);
  // Where shops write no decimals (HUF, ISK), none are shown, unless there are some.
  const hasFraction = /\.\d*[1-9]/.test(text);
  const format = new Intl.NumberFormat(locale, {
    style: "currency",
    currency: currency.toUpperCase(),
    ...(hasFraction ? { minimumFractionDigits: minorDigits(currency) } : {}),
  });
  return format.format(text as Intl.StringNumericLiteral);
}

/**
 * Writes the price of one credit, to a hundredth of the currency's smallest unit.
 *
 * @param minorUnits - What the pack costs, in the currency's smallest unit.
 * @param credits - How many credits it holds, in millionths; above 0.
 * @param currency - ISO 4217 code, in either case.
 * @param locale - BCP 47 tag.
 */
export function formatCreditPrice(
  minorUnits: number,
  credits: bigint,
  currency: string,
  locale: string,
): string {
  const text = minorToDecimalText(minorUnits, currency);
  const digits = (text.split(".")[1] ?? "").length;
  const hundredths = (BigInt(minorUnits) * 100n * 1_000_000n + credits / 2n) / credits;
  const padded = hundredths.toString().padStart(digits + 3, "0");
  const point = padded.length - digits - 2;
  const format = new Intl.NumberFormat(locale, {
    style: "currency",
    currency: currency.toUpperCase(),
    minimumFractionDigits: digits,
    maximumFractionDigits: digits + 2,
  });
  return format.format(`${padded.slice(0, point)}.${padded.slice(point)}` as Intl.StringNumericLiteral);
}
