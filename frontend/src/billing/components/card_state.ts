/** Whether a saved card can still be charged, and for how long. */

export type CardState = "valid" | "expires_soon" | "expired";

/** From so many days before its end on a card is said to expire soon. */
const SOON_DAYS = 45;
const DAY_MS = 86_400_000;

/**
 * Tells the state of a card; a card can be charged until the end of the month on it.
 *
 * @param month - On the card, from 1; null for methods that do not expire.
 * @param year - On the card, in full.
 * @param now - Milliseconds since the epoch.
 */
export function cardState(month: number | null, year: number | null, now: number): CardState {
  if (month === null || year === null) return "valid";
  const end = Date.UTC(year, month, 1);
  if (end <= now) return "expired";
  return end - now < SOON_DAYS * DAY_MS ? "expires_soon" : "valid";
}
