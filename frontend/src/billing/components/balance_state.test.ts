import { expect, test } from "vitest";
import type { CreditBalanceData } from "../queries/balance.js";
import { balanceState, daysBetween } from "./balance_state.js";

const healthy: CreditBalanceData = {
  balance: 100n,
  held: 0n,
  available: 100n,
  debt: 0n,
  pending: [],
  expiring: [],
  restrictedReason: null,
  isBlocked: false,
  asOf: "2026-11-23T00:00:00Z",
};

test("days between two instants have fractions and a sign", () => {
  expect(daysBetween("2026-11-23T00:00:00Z", "2026-11-29T12:00:00+00:00")).toBe(6.5);
  expect(daysBetween("2026-11-23T00:00:00Z", "2026-11-22T00:00:00Z")).toBe(-1);
});

test.each([
  ["healthy", {}, null],
  ["low", {}, 2.99],
  ["healthy", {}, 3],
  ["zero", { balance: 0n, available: 0n }, null],
  ["held", { held: 100n, available: 0n }, null],
  ["debt", { balance: -5n, available: -5n, debt: 5n }, null],
  ["restricted", { restrictedReason: "dispute", available: 0n, debt: 5n }, null],
] as const)("a balance is %s for %o with a runway of %s days", (state, changes, runway) => {
  expect(balanceState({ ...healthy, ...changes }, runway)).toBe(state);
});
