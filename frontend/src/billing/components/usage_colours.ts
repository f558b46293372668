/** Colours of usage series: the same in charts, legends and tooltips. */

const SERIES_COLOURS = 5;

/**
 * Gives the colour of a series.
 *
 * @param key - `g0`, `g1`, …, or `other`.
 */
export function colourOf(key: string): string {
  return key === "other"
    ? "var(--chart-other)"
    : `var(--chart-${(Number(key.slice(1)) % SERIES_COLOURS) + 1})`;
}
