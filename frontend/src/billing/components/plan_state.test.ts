import { expect, test } from "vitest";
import { changePreview, mostRollover, planAction, planStand } from "./plan_state.js";

const plan = {
  id: "pro",
  name: "Pro",
  unit_amount: 4900,
  currency: "usd",
  billing_interval: "month",
  credits_per_period: "5000",
  rollover_cap: null,
  rollover_share: null,
};
const pro = {
  id: "s",
  status: "active",
  plan_id: "pro",
  next_plan_id: null,
  next_plan: null,
  ends_at: null,
  pause_behavior: null,
  stripe_subscription_id: "sub_1",
  unit_amount: 4900,
  currency: "usd",
  billing_interval: null,
  current_period_start: "2026-11-01T00:00:00Z",
  current_period_end: "2026-12-01T00:00:00Z",
  trial_end: null,
  cancel_at: null,
  cancel_at_period_end: false,
  ended_at: null,
  plan,
};
const free = { ...pro, plan_id: "free", stripe_subscription_id: null, billing_interval: "month" };

function offer(id: string, unit_amount: number, changes = {}) {
  return { id, unit_amount, billing_interval: "month", trial_days: 0, ...changes };
}

test.each([
  ["a plan with a price is bought", offer("pro", 4900), null, "subscribe"],
  ["a first plan may begin with a trial", offer("pro", 4900, { trial_days: 14 }), null, "trial"],
  ["a plan without a price starts", offer("free", 0), null, "start_free"],
  ["the plan in force has no button", offer("pro", 4900), pro, "none"],
  ["a dearer plan is an upgrade", offer("business", 9900), pro, "upgrade"],
  ["a cheaper plan is a downgrade", offer("starter", 1900), pro, "downgrade"],
  ["another interval is a switch", offer("year", 9900, { billing_interval: "year" }), pro, "switch"],
  ["a planned plan has no button", offer("starter", 1900), { ...pro, next_plan_id: "starter" }, "none"],
  ["and the present one takes it back", offer("pro", 4900), { ...pro, next_plan_id: "starter" }, "keep"],
  ["from Stripe to free only by an end", offer("free", 0), pro, "needs_end"],
  ["from free to a price by a checkout", offer("pro", 4900), free, "subscribe"],
  ["from free to free at once", offer("other", 0), free, "switch"],
] as const)("%s", (_, on, subscription, action) => {
  expect(planAction(on, subscription, false)).toBe(action);
});

test("a second trial is not offered", () => {
  const offered = offer("pro", 4900, { trial_days: 14 });
  expect(planAction(offered, { ...pro, status: "canceled" }, true)).toBe("subscribe");
  expect(planAction(offered, free, true)).toBe("subscribe");
});

test.each([
  ["upgrade", pro, "upgrade"],
  ["downgrade", pro, "downgrade"],
  ["switch", pro, "restart"],
  ["upgrade", { ...pro, status: "trialing" }, "trialing"],
  ["switch", free, "free"],
  ["keep", pro, "keep"],
] as const)("a change by %s is told as it will be", (action, subscription, preview) => {
  expect(changePreview(action, subscription)).toBe(preview);
});

test.each([
  ["cancel", {}],
  ["undo", { cancel_at_period_end: true }],
  ["undo", { cancel_at: "2026-12-01T00:00:00Z" }],
  ["resume", { status: "paused" }],
  ["resume", { pause_behavior: "void" }],
  [null, { status: "canceled", ended_at: "2026-11-02T00:00:00Z" }],
  [null, { status: "incomplete" }],
] as const)("a plan offers %s in %o", (stand, changes) => {
  expect(planStand({ ...pro, ...changes })).toBe(stand);
});

test("what rolls over is the smaller of cap and share, and none without either", () => {
  expect(mostRollover(plan)).toBeNull();
  expect(mostRollover({ ...plan, rollover_cap: "300" })).toBe(300_000_000n);
  expect(mostRollover({ ...plan, rollover_share: "0.5000" })).toBe(2_500_000_000n);
  expect(mostRollover({ ...plan, rollover_cap: "300", rollover_share: "0.5" })).toBe(300_000_000n);
  expect(mostRollover({ ...plan, rollover_cap: "0", rollover_share: "0.5" })).toBeNull();
});
