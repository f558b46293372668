/** Which state a balance is in, and how long it lasts. */

import type { CreditBalanceData } from "../queries/balance.js";

export type BalanceState = "restricted" | "debt" | "held" | "zero" | "low" | "healthy";

/** How many days of recent use must be left before a balance counts as low. */
const LOW_DAYS = 3;
const DAY_MS = 86_400_000;

/** Days from one instant to another; below 0 when the second is earlier. */
export function daysBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / DAY_MS;
}

/**
 * Names the state that matters most.
 *
 * @param balance - The wallet.
 * @param runway - Days until the credits run out at the present pace; null when that is not in sight.
 */
export function balanceState(balance: CreditBalanceData, runway: number | null): BalanceState {
  if (balance.restrictedReason !== null) return "restricted";
  if (balance.debt > 0n) return "debt";
  if (balance.available <= 0n) return balance.held > 0n ? "held" : "zero";
  if (runway !== null && runway < LOW_DAYS) return "low";
  return "healthy";
}
