/** What can be done with a plan, given the one in force: which button it has and what pressing it means. */

import { type MicroCredits, parseCredits } from "../credits.js";
import type { SubscriptionRow } from "../queries/money.js";
import type { PlanRow } from "../queries/plans.js";
import { endOf } from "./subscription_state.js";

/** What a plan's button does; `none`: it has none. */
export type PlanAction =
  /** Stripe's checkout. */
  | "subscribe"
  | "trial"
  /** A plan without a price. */
  | "start_free"
  | "upgrade"
  | "downgrade"
  | "switch"
  /** Drops a change that was planned. */
  | "keep"
  /** A plan without a price, while one at Stripe is in force. */
  | "needs_end"
  | "none";

/** What a change does, in words; see `messages.plans.previews`. */
export type ChangePreview = "upgrade" | "downgrade" | "restart" | "trialing" | "free" | "keep";

const MILLION = 1_000_000n;

/** Billing state in which a plan at Stripe can be changed and cancelled. */
const LIVE: ReadonlySet<string> = new Set(["trialing", "active", "past_due", "unpaid", "paused"]);

interface Live
  extends Pick<
    SubscriptionRow,
    "status" | "plan_id" | "next_plan_id" | "stripe_subscription_id" | "billing_interval"
  > {
  readonly plan: { readonly unit_amount: number; readonly billing_interval: string } | null;
}
type Offer = Pick<PlanRow, "id" | "unit_amount" | "billing_interval" | "trial_days">;

/** Tells whether a subscription is in force. */
export function isLive(subscription: Pick<SubscriptionRow, "status"> | null): boolean {
  return subscription !== null && LIVE.has(subscription.status);
}

/**
 * Names what can be done with a plan on offer.
 *
 * @param offer - The plan.
 * @param subscription - The newest subscription, in force or not; null when there never was one.
 * @param hadTrial - Whether the organization had a trial before; it has one.
 */
export function planAction(offer: Offer, subscription: Live | null, hadTrial: boolean): PlanAction {
  const isFree = offer.unit_amount === 0;
  const buying = offer.trial_days > 0 && !hadTrial ? "trial" : "subscribe";
  if (subscription === null || !isLive(subscription)) {
    return isFree ? "start_free" : buying;
  }
  const isAtStripe = subscription.stripe_subscription_id !== null;
  if (offer.id === subscription.next_plan_id) return "none";
  if (offer.id === subscription.plan_id) return subscription.next_plan_id === null ? "none" : "keep";
  if (!isAtStripe) return isFree ? "switch" : buying;
  if (isFree) return "needs_end";
  const interval = subscription.billing_interval ?? subscription.plan?.billing_interval;
  if (offer.billing_interval !== interval) return "switch";
  return offer.unit_amount > (subscription.plan?.unit_amount ?? 0) ? "upgrade" : "downgrade";
}

/**
 * Names what a change does, as the database decides it for mode `prorate_delta`.
 *
 * @param action - As `planAction` names it.
 * @param subscription - The plan in force.
 */
export function changePreview(action: PlanAction, subscription: Live): ChangePreview {
  if (action === "keep") return "keep";
  if (subscription.stripe_subscription_id === null) return "free";
  if (subscription.status === "trialing") return "trialing";
  if (action === "switch") return "restart";
  return action === "upgrade" ? "upgrade" : "downgrade";
}

/** What can be done with the plan in force itself. */
export type PlanStand = "cancel" | "undo" | "resume" | null;

/**
 * Tells whether the plan in force can be cancelled, kept after all, or taken up again.
 *
 * @param subscription - The newest subscription.
 */
export function planStand(
  subscription: (Pick<SubscriptionRow, "pause_behavior"> & Parameters<typeof endOf>[0]) | null,
): PlanStand {
  if (subscription === null || !isLive(subscription)) return null;
  if (subscription.status === "paused" || subscription.pause_behavior !== null) return "resume";
  return endOf(subscription) === null ? "cancel" : "undo";
}

/**
 * Tells how many unspent credits a plan carries into the next period at most; null: none.
 *
 * @param plan - Its cap, its share of the period's credits, and those.
 */
export function mostRollover(plan: {
  readonly credits_per_period: string;
  readonly rollover_cap: string | null;
  readonly rollover_share: string | null;
}): MicroCredits | null {
  const cap = plan.rollover_cap === null ? null : parseCredits(plan.rollover_cap);
  const share =
    plan.rollover_share === null
      ? null
      : (parseCredits(plan.credits_per_period) * parseCredits(plan.rollover_share)) / MILLION;
  const most = cap === null || (share !== null && share < cap) ? share : cap;
  return most === 0n ? null : most;
}
