import { expect, test } from "vitest";
import { nextCharge } from "./subscription_state.js";

const START = "2026-11-01T00:00:00Z";
const END = "2026-12-01T00:00:00Z";
const base = {
  status: "active",
  current_period_start: START,
  current_period_end: END,
  trial_end: null,
  cancel_at: null,
  cancel_at_period_end: false,
  ended_at: null,
};

test.each([
  ["an active plan charges at the period's end", {}, 2900, { label: "nextCharge", at: END, amount: 2900 }],
  ["a free plan renews without a charge", {}, 0, { label: "nextRenewal", at: END, amount: null }],
  [
    "a trial charges first when it ends",
    { status: "trialing", trial_end: END },
    2900,
    { label: "firstCharge", at: END, amount: 2900 },
  ],
  [
    "a trial that was canceled ends",
    { status: "trialing", trial_end: END, cancel_at: END },
    2900,
    { label: "finalDay", at: END, amount: null },
  ],
  [
    "a plan canceled at the period's end ends then",
    { cancel_at_period_end: true },
    2900,
    { label: "finalDay", at: END, amount: null },
  ],
  [
    "the portal's cancel sets cancel_at alone",
    { cancel_at: "2026-11-20T00:00:00Z" },
    2900,
    { label: "finalDay", at: "2026-11-20T00:00:00Z", amount: null },
  ],
  [
    "a plan past due owes since the period began",
    { status: "past_due" },
    2900,
    { label: "retrying", at: START, amount: 2900 },
  ],
  [
    "a paused plan charges on resume",
    { status: "paused" },
    2900,
    { label: "chargeOnResume", at: null, amount: 2900 },
  ],
  [
    "a canceled plan has ended",
    { status: "canceled", ended_at: START },
    2900,
    { label: "endedOn", at: START, amount: null },
  ],
  ["an unfinished first payment promises nothing", { status: "incomplete" }, 2900, null],
])("%s", (_promise, changes, price, expected) => {
  expect(nextCharge({ ...base, ...changes }, price)).toEqual(expected);
});
