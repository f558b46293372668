/** Amounts that people type. */

import { creditsToText, parseCredits } from "../credits.js";
import { minorDigits } from "../money.js";

const MAX_CREDITS = 10n ** 20n;

/**
 * Reads an amount of credits from a form field.
 *
 * @param entry - What was typed: digits, optionally a point and at most six decimals.
 * @param least - The smallest amount allowed, in millionths of a credit.
 * @returns Decimal text for the database; null when the entry is no such amount.
 */
export function readAmountEntry(entry: string, least: bigint): string | null {
  try {
    const amount = parseCredits(entry);
    return amount < least || amount >= MAX_CREDITS ? null : creditsToText(amount);
  } catch {
    return null;
  }
}

const MAX_MONEY = 10 ** 12;

/**
 * Reads an amount of money from a form field.
 *
 * @param entry - What was typed: digits, optionally a point and as many decimals as the currency has.
 * @param currency - ISO 4217 code.
 * @returns In the currency's smallest unit, above 0; null when the entry is no such amount.
 */
export function readMoneyEntry(entry: string, currency: string): number | null {
  const digits = minorDigits(currency);
  const match = /^(\d{1,12})(?:\.(\d+))?$/.exec(entry.trim());
  const [, whole = "", fraction = ""] = match ?? [];
  if (match === null || fraction.length > digits) return null;
  const amount = Number(whole + fraction.padEnd(digits, "0"));
  return amount > 0 && amount < MAX_MONEY ? amount : null;
}
