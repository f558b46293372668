import { expect, test } from "vitest";
import { daysOf, lastDays, periodBefore } from "../queries/usage.js";
import { arrangeUsage, relativeChange } from "./usage_series.js";

const now = new Date("2026-11-23T23:59:59Z");
const period = lastDays(3, now);
const day = (text: string) => new Date(`${text}T00:00:00Z`).getTime();

test("the last days end with today, in UTC, and the period before is as long", () => {
  expect(daysOf(period).map((date) => date.toISOString().slice(0, 10))).toEqual([
    "2026-11-21",
    "2026-11-22",
    "2026-11-23",
  ]);
  expect(periodBefore(period)).toEqual({ from: new Date("2026-11-18T00:00:00Z"), to: period.from });
});

test("the largest groups stand for themselves, all others together, and empty days stay", () => {
  const usage = arrangeUsage(
    period,
    [
      { day: day("2026-11-21"), group: "big", amount: 70n, count: 7 },
      { day: day("2026-11-21"), group: "tiny", amount: 1n, count: 1 },
      { day: day("2026-11-23"), group: "small", amount: 2n, count: 1 },
      { day: day("2026-11-23"), group: "tiny", amount: 3n, count: 1 },
    ],
    [
      { group: "big", isOther: false, amount: 70n, count: 7 },
      { group: null, isOther: true, amount: 6n, count: 3 },
    ],
  );
  expect(usage.series).toEqual([
    { key: "g0", group: "big", isOther: false, amount: 70n, count: 7 },
    { key: "other", group: null, isOther: true, amount: 6n, count: 3 },
  ]);
  expect(usage.days.map((entry) => entry.total)).toEqual([71n, 0n, 5n]);
  expect(usage.days[2]?.amounts.get("other")).toBe(5n);
  expect(usage.total).toBe(76n);
  expect(usage.count).toBe(10);
});

test("use without a group is a group of its own when it is among the largest", () => {
  const cells = [{ day: day("2026-11-22"), group: null, amount: 4n, count: 1 }];
  const usage = arrangeUsage(period, cells, [{ group: null, isOther: false, amount: 4n, count: 1 }]);
  expect(usage.series).toEqual([{ key: "g0", group: null, isOther: false, amount: 4n, count: 1 }]);
});

test("a change is told only against something", () => {
  expect(relativeChange(150n, 100n)).toBe(0.5);
  expect(relativeChange(0n, 100n)).toBe(-1);
  expect(relativeChange(5n, 0n)).toBeNull();
});
