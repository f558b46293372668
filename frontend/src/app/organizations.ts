/** The organizations that the signed-in person belongs to. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { answerOf, billingSchema } from "../billing/client.js";

/** Under which the list is kept. */
export const ORGANIZATIONS_KEY = ["organizations"];

/** Reads them, by name. */
export function useOrganizations(client: SupabaseClient) {
  return useQuery({
    queryKey: ORGANIZATIONS_KEY,
    queryFn: ({ signal }) =>
      answerOf(
        billingSchema(client)
          .from("organizations")
          .select("organization_id, name, created_at")
          .order("name")
          .order("organization_id")
          .abortSignal(signal),
      ),
    staleTime: 60_000,
  });
}

/** An organization as `useOrganizations` gives it. */
export type OrganizationRow = NonNullable<ReturnType<typeof useOrganizations>["data"]>[number];

/** Creates one with the person as its owner. */
export function useCreateOrganization(client: SupabaseClient) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (name: string) =>
      answerOf(billingSchema(client).rpc("create_organization", { name }).select("organization_id")),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: ORGANIZATIONS_KEY }),
  });
}

const LAST_ORGANIZATION = "tallybase.organization";

/** Remembers which organization was open, for the next visit. */
export function rememberOrganization(organizationId: string): void {
  window.localStorage.setItem(LAST_ORGANIZATION, organizationId);
}

/**
 * Chooses the organization to open when the address names none.
 *
 * @param organizations - Those the person belongs to.
 */
export function preferredOrganization(
  organizations: readonly OrganizationRow[],
): OrganizationRow | undefined {
  const last = window.localStorage.getItem(LAST_ORGANIZATION);
  return organizations.find((row) => row.organization_id === last) ?? organizations[0];
}
