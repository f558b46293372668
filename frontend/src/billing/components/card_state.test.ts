import { expect, test } from "vitest";
import { readMoneyEntry } from "./amount_entry.js";
import { cardState } from "./card_state.js";

test.each([
  ["valid", 12, 2027],
  ["expires_soon", 12, 2026],
  ["expires_soon", 11, 2026],
  ["expired", 10, 2026],
  ["valid", null, null],
] as const)("a card is %s with %s/%s on it in November 2026", (state, month, year) => {
  expect(cardState(month, year, Date.UTC(2026, 10, 23))).toBe(state);
});

test.each([
  ["12.5", "usd", 1250],
  ["12", "usd", 1200],
  ["1500", "jpy", 1500],
  ["1500.5", "jpy", null],
  ["0.001", "usd", null],
  ["0", "usd", null],
  ["-1", "usd", null],
  ["1e3", "usd", null],
  ["", "usd", null],
] as const)("%s typed as %s is %s of its smallest unit", (entry, currency, amount) => {
  expect(readMoneyEntry(entry, currency)).toBe(amount);
});
