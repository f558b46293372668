/** Names of cached reads. Their prefixes are what live updates invalidate. */

/** What a read depends on: the ledger moves often, money and approvals seldom, tenancy and catalogue hardly ever; live updates leave `once` alone; `operations` belongs to `PLATFORM`. */
export type Topic = "ledger" | "money" | "approvals" | "tenancy" | "catalogue" | "once" | "operations";

/** Stands where an organization's id does, in the keys of what those who run the platform read. */
export const PLATFORM = "platform";

/**
 * Makes the key of a read.
 *
 * @param organizationId - Whose data it is.
 * @param topic - What it depends on.
 * @param parts - What distinguishes it from other reads of the topic.
 */
export function queryKey(organizationId: string, topic: Topic, ...parts: unknown[]): unknown[] {
  return ["billing", organizationId, topic, ...parts];
}
