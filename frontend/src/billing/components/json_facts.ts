/** Facts that the database keeps as JSON, as texts for a reader. */

import type { Json } from "../database.types.js";

/** A fact's name and value. */
export type Fact = readonly [name: string, value: string];

/** A fact on which two sides do not agree; null where a side does not have it. */
export interface Difference {
  readonly name: string;
  readonly ours: string | null;
  readonly stripes: string | null;
}

function textOf(value: Json | undefined): string | null {
  if (value === undefined || value === null) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function asObject(facts: Json | null): Readonly<Record<string, Json | undefined>> {
  return facts !== null && typeof facts === "object" && !Array.isArray(facts) ? facts : {};
}

/**
 * Lists an object's facts by name; what is null is left out.
 *
 * @param facts - A JSON object.
 */
export function factsOf(facts: Json | null): readonly Fact[] {
  return Object.entries(asObject(facts))
    .map(([name, value]) => [name, textOf(value)] as const)
    .filter((fact): fact is Fact => fact[1] !== null)
    .toSorted(([one], [other]) => one.localeCompare(other));
}

/**
 * Lists the facts in which two objects differ.
 *
 * @param ours - What our row says.
 * @param stripes - What Stripe says.
 */
export function differencesOf(ours: Json | null, stripes: Json): readonly Difference[] {
  const [here, there] = [asObject(ours), asObject(stripes)];
  return [...new Set([...Object.keys(here), ...Object.keys(there)])]
    .toSorted()
    .map((name) => ({ name, ours: textOf(here[name]), stripes: textOf(there[name]) }))
    .filter((difference) => difference.ours !== difference.stripes);
}
