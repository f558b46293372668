/** Words for the database's vocabularies. */

/**
 * Gives the word for a value; a value that has no word yet is shown as it is.
 *
 * @param labels - Words by value.
 * @param value - From the database.
 */
export function labelOf(labels: Readonly<Record<string, string>>, value: string): string {
  return (Object.hasOwn(labels, value) ? labels[value] : undefined) ?? value;
}
