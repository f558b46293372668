/** From cells of use to what charts and tables draw. Sums are exact; numbers for geometry are made at the very end. */

import { creditsForGeometry, type MicroCredits } from "../credits.js";
import { daysOf, type UsageCell, type UsagePeriod, type UsageShare } from "../queries/usage.js";

/** One colour of the chart: a group that stands for itself, or all the others together. */
export interface UsageSeries {
  /** `g0`, `g1`, …, or `other`. */
  readonly key: string;
  readonly group: string | null;
  readonly isOther: boolean;
  readonly amount: MicroCredits;
  readonly count: number;
}

/** One day with the amount of every series. */
export interface UsageDay {
  readonly day: number;
  readonly amounts: ReadonlyMap<string, MicroCredits>;
  readonly total: MicroCredits;
}

export interface UsageTable {
  readonly series: readonly UsageSeries[];
  readonly days: readonly UsageDay[];
  readonly total: MicroCredits;
  readonly count: number;
}

/**
 * Arranges use by day and series; days without use are there with nothing.
 *
 * @param period - Which days.
 * @param cells - Use by day and group.
 * @param shares - The groups that stand for themselves, the largest first, and the rest.
 */
export function arrangeUsage(
  period: UsagePeriod,
  cells: readonly UsageCell[],
  shares: readonly UsageShare[],
): UsageTable {
  const named = shares.filter((share) => !share.isOther && share.amount !== 0n);
  const keys = new Map(named.map((share, index) => [share.group, `g${index}`]));
  const byDay = new Map<number, Map<string, MicroCredits>>();
  const totals = new Map<string, { amount: MicroCredits; count: number }>();
  for (const cell of cells) {
    const key = keys.get(cell.group) ?? "other";
    const amounts = byDay.get(cell.day) ?? new Map<string, MicroCredits>();
    amounts.set(key, (amounts.get(key) ?? 0n) + cell.amount);
    byDay.set(cell.day, amounts);
    const total = totals.get(key) ?? { amount: 0n, count: 0 };
    totals.set(key, { amount: total.amount + cell.amount, count: total.count + cell.count });
  }
  const candidates = [
    ...named.map(({ group }, index) => ({ key: `g${index}`, group, isOther: false })),
    { key: "other", group: null, isOther: true },
  ];
  const series = candidates.flatMap((candidate) => {
    const figures = totals.get(candidate.key);
    return figures === undefined ? [] : [{ ...candidate, ...figures }];
  });
  return {
    series,
    days: daysOf(period).map((day) => dayOf(day.getTime(), byDay)),
    total: cells.reduce((sum, cell) => sum + cell.amount, 0n),
    count: cells.reduce((sum, cell) => sum + cell.count, 0),
  };
}

function dayOf(day: number, byDay: ReadonlyMap<number, ReadonlyMap<string, MicroCredits>>): UsageDay {
  const amounts = byDay.get(day) ?? new Map<string, MicroCredits>();
  return { day, amounts, total: [...amounts.values()].reduce((sum, amount) => sum + amount, 0n) };
}

/**
 * Compares two totals.
 *
 * @returns The change as a share of the earlier one; null when there was nothing before.
 */
export function relativeChange(now: MicroCredits, before: MicroCredits): number | null {
  return before === 0n ? null : creditsForGeometry(now - before) / creditsForGeometry(before);
}
