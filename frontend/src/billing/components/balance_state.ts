/** Which state a balance is in, and how long it lasts. */

import type { MicroCredits } from "../credits.js";
import type { CreditBalanceData } from "../queries/balance.js";

export type BalanceState = "restricted" | "debt" | "held" | "zero" | "low" | "healthy";

/** How many days of recent use must be left before a balance counts as low. */
const LOW_DAYS = 3;
const HUNDREDTHS = 100n;

/**
 * Tells how many days the available credits last at a recent pace.
 *
 * @param available - What can be spent.
 * @param used - What the last days used together.
 * @param days - How many days those were.
 * @returns Days to a hundredth; null when nothing was used.
 */
export function runwayDays(available: MicroCredits, used: MicroCredits, days: number): number | null {
  if (used <= 0n) return null;
  const spendable = available > 0n ? available : 0n;
  return Number((spendable * BigInt(days) * HUNDREDTHS) / used) / Number(HUNDREDTHS);
}

/**
 * Names the state that matters most.
 *
 * @param balance - The wallet.
 * @param runway - Days as `runwayDays` gives them.
 */
export function balanceState(balance: CreditBalanceData, runway: number | null): BalanceState {
  if (balance.restrictedReason !== null) return "restricted";
  if (balance.debt > 0n) return "debt";
  if (balance.available <= 0n) return balance.held > 0n ? "held" : "zero";
  if (runway !== null && runway < LOW_DAYS) return "low";
  return "healthy";
}
