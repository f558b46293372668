/** Changing who belongs to an organization: invitations by mail, roles, removals. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { z } from "zod/mini";
import { answerOf, billingSchema } from "../billing/client.js";
import { useBilling } from "../billing/index.js";
import { queryKey } from "../billing/query_keys.js";
import { useWorkers } from "../billing/workers.js";
import { ORGANIZATIONS_KEY } from "./organizations.js";

export const ROLES = ["owner", "admin", "billing", "member"] as const;

const invitationAnswer = z.object({ invitation_id: z.string(), email: z.string() });

/** Forgets what was read of the organization's people. */
function usePeopleChanged(): () => Promise<unknown> {
  const { organizationId } = useBilling();
  const queryClient = useQueryClient();
  return () => queryClient.invalidateQueries({ queryKey: queryKey(organizationId, "tenancy") });
}

/** Reads the invitations that can still be accepted, newest first; nobody but owners and admins sees any. */
export function useOpenInvitations() {
  const { schema, organizationId } = useBilling();
  return useQuery({
    queryKey: queryKey(organizationId, "tenancy", "invitations"),
    queryFn: ({ signal }) =>
      answerOf(
        schema
          .from("invitations")
          .select("id, email, role, expires_at")
          .eq("organization_id", organizationId)
          .is("accepted_at", null)
          .is("revoked_at", null)
          .gt("expires_at", new Date().toISOString())
          .order("created_at", { ascending: false })
          .abortSignal(signal),
      ),
  });
}

/** Invites somebody: a worker mails the link, which nobody but its reader sees. */
export function useInvite() {
  const { organizationId } = useBilling();
  const call = useWorkers();
  const onSuccess = usePeopleChanged();
  return useMutation({
    mutationFn: (wanted: { email: string; role: string; departmentId: string | null }) =>
      call(
        "send_invitation",
        {
          organization_id: organizationId,
          email: wanted.email,
          role: wanted.role,
          department_id: wanted.departmentId,
        },
        invitationAnswer,
      ),
    onSuccess,
  });
}

/** Withdraws an invitation by its id. */
export function useWithdrawInvitation() {
  const { schema } = useBilling();
  const onSuccess = usePeopleChanged();
  return useMutation({
    mutationFn: (invitationId: string) =>
      answerOf(schema.rpc("revoke_invitation", { invitation_id: invitationId })),
    onSuccess,
  });
}

/** Gives a member another role or department. */
export function useSetMemberRole() {
  const { schema, organizationId } = useBilling();
  const onSuccess = usePeopleChanged();
  return useMutation({
    mutationFn: (wanted: { userId: string; role: string; departmentId: string | null }) =>
      answerOf(
        schema.rpc("set_member_role", {
          organization_id: organizationId,
          user_id: wanted.userId,
          role: wanted.role,
          ...(wanted.departmentId === null ? {} : { department_id: wanted.departmentId }),
        }),
      ),
    onSuccess,
  });
}

/** Removes a member; for oneself: leaves. */
export function useEndMembership() {
  const { schema, organizationId, userId } = useBilling();
  const queryClient = useQueryClient();
  const onChanged = usePeopleChanged();
  return useMutation({
    mutationFn: (whom: string) =>
      whom === userId
        ? answerOf(schema.rpc("leave_organization", { organization_id: organizationId }))
        : answerOf(schema.rpc("remove_member", { organization_id: organizationId, user_id: whom })),
    onSuccess: (_row, whom) =>
      whom === userId ? queryClient.invalidateQueries({ queryKey: ORGANIZATIONS_KEY }) : onChanged(),
  });
}

/** Accepts an invitation by its token. The mutation's data is the organization joined. */
export function useAcceptInvitation(client: SupabaseClient) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: async (token: string) => {
      const joined = await answerOf(billingSchema(client).rpc("accept_invitation", { token }));
      await queryClient.invalidateQueries({ queryKey: ORGANIZATIONS_KEY });
      return joined.organization_id;
    },
  });
}
