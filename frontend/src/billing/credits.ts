/** Exact arithmetic on credits: decimal text on the wire, whole millionths (bigint) in between, never floating point. */

const DECIMALS = 6;
const SCALE = 10n ** BigInt(DECIMALS);
const DECIMAL_TEXT = /^(-?)(\d+)(?:\.(\d+))?$/;

/** An amount of credits in whole millionths of a credit. */
export type MicroCredits = bigint;

/**
 * Reads a decimal text such as `numeric(20,6)` columns give.
 *
 * @param text - Digits with an optional sign and point; digits after the sixth decimal must be zeros.
 * @returns The amount in millionths of a credit.
 * @throws RangeError when the text is not such a number.
 */
export function parseCredits(text: string): MicroCredits {
  const match = DECIMAL_TEXT.exec(text.trim());
  const [, sign = "", whole = "", fraction = ""] = match ?? [];
  if (match === null || !/^0*$/.test(fraction.slice(DECIMALS))) {
    throw new RangeError(`not an amount of credits: ${text}`);
  }
  const micros = BigInt(whole) * SCALE + BigInt(fraction.slice(0, DECIMALS).padEnd(DECIMALS, "0"));
  return sign === "-" ? -micros : micros;
}

/**
 * Writes an amount as decimal text without trailing zeros, as the database's functions take it.
 *
 * @param micros - The amount in millionths of a credit.
 * @returns For example `-12.5`.
 */
export function creditsToText(micros: MicroCredits): string {
  const magnitude = micros < 0n ? -micros : micros;
  const fraction = (magnitude % SCALE).toString().padStart(DECIMALS, "0").replace(/0+$/, "");
  const whole = (magnitude / SCALE).toString();
  return `${micros < 0n ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

/** Adds amounts given as decimal texts. */
export function sumCredits(texts: Iterable<string>): MicroCredits {
  let total = 0n;
  for (const text of texts) total += parseCredits(text);
  return total;
}

/**
 * Gives an approximate number, for the geometry of charts and meters only.
 *
 * @param micros - The amount in millionths of a credit.
 */
export function creditsForGeometry(micros: MicroCredits): number {
  return Number(micros) / Number(SCALE);
}
