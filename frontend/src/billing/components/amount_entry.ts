/** Amounts that people type. */

import { creditsToText, parseCredits } from "../credits.js";

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
