/** What the plan card says about money to come, named by the subscription's state. */

import type { SubscriptionRow } from "../queries/money.js";

export type ChargeLabel =
  | "nextCharge"
  | "nextRenewal"
  | "firstCharge"
  | "finalDay"
  | "endedOn"
  | "chargeOnResume"
  | "retrying";

/** One line: what happens, when, and for how much. */
export interface NextCharge {
  readonly label: ChargeLabel;
  /** When; null when the date is not known or does not matter. */
  readonly at: string | null;
  /** In the currency's smallest unit; null when nothing is charged. */
  readonly amount: number | null;
}

type Facts = Pick<
  SubscriptionRow,
  | "status"
  | "current_period_start"
  | "current_period_end"
  | "trial_end"
  | "cancel_at"
  | "cancel_at_period_end"
  | "ended_at"
>;

/**
 * Tells when a subscription ends, if it is going to.
 * Source: with flexible billing Stripe's portal sets `cancel_at` alone, so all three marks count.
 */
export function endOf(subscription: Facts): string | null {
  const atPeriodEnd = subscription.cancel_at_period_end ? subscription.current_period_end : null;
  return subscription.ended_at ?? subscription.cancel_at ?? atPeriodEnd;
}

/**
 * Names the next charge.
 *
 * @param subscription - The row.
 * @param price - What a period costs, in the currency's smallest unit; the price agreed, not today's list price.
 */
export function nextCharge(subscription: Facts, price: number): NextCharge | null {
  const end = endOf(subscription);
  switch (subscription.status) {
    case "trialing":
      return end === null
        ? { label: "firstCharge", at: subscription.trial_end, amount: price }
        : { label: "finalDay", at: end, amount: null };
    case "active":
      if (end !== null) return { label: "finalDay", at: end, amount: null };
      return price === 0
        ? { label: "nextRenewal", at: subscription.current_period_end, amount: null }
        : { label: "nextCharge", at: subscription.current_period_end, amount: price };
    case "past_due":
    case "unpaid":
      return { label: "retrying", at: subscription.current_period_start, amount: price };
    case "paused":
      return { label: "chargeOnResume", at: null, amount: price };
    case "canceled":
      return { label: "endedOn", at: end, amount: null };
    default:
      return null;
  }
}
