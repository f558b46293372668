/** The page of a signed-in person: header, and what the address leads to. */

import type { SupabaseClient } from "@supabase/supabase-js";
import { useQueryClient } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense, useEffect, useMemo, useState } from "react";
import {
  BillingProvider,
  CheckoutReturn,
  createQueryClient,
  PlatformProvider,
  usePlatformAdmin,
} from "../billing/index.js";
import { Skeleton } from "../billing/ui/feedback.js";
import type { AppConfig } from "./config.js";
import { Header } from "./header.js";
import { Invitation } from "./invitation.js";
import { navigate, OPERATIONS_PATH, organizationPath, type Place, placeOf, usePath } from "./location.js";
import { texts } from "./messages.js";
import { NewOrganization } from "./new_organization.js";
import { OrganizationSettings } from "./organization_settings.js";
import {
  type OrganizationRow,
  preferredOrganization,
  rememberOrganization,
  useOrganizations,
} from "./organizations.js";
import { Loading, Problem } from "./screens.js";
import { stripeLoader } from "./stripe.js";

const Operations = lazy(() => import("./operations.js"));

const LOADING_LINES = 6;

export interface SignedInProps {
  config: AppConfig;
  client: SupabaseClient;
  userId: string;
  email: string;
}

/** Mounted anew for every person, so that nobody meets what another person's session has cached. */
export default function SignedIn(props: SignedInProps): ReactNode {
  const [queryClient] = useState(createQueryClient);
  return (
    <PlatformProvider
      client={props.client}
      userId={props.userId}
      workersUrl={props.config.workersUrl}
      queryClient={queryClient}
    >
      <Organizations {...props} />
    </PlatformProvider>
  );
}

function Organizations(props: SignedInProps): ReactNode {
  const organizations = useOrganizations(props.client);
  const isPlatformAdmin = usePlatformAdmin().data ?? false;
  const place = placeOf(usePath());
  if (organizations.data === undefined) {
    return organizations.error === null ? (
      <Loading />
    ) : (
      <Problem
        title={texts.organizations.failedTitle}
        note={texts.signIn.unreachable}
        action={texts.retry}
        onAction={() => void organizations.refetch()}
      />
    );
  }
  const current = currentOrganization(place, organizations.data);
  return (
    <>
      <a
        href="#content"
        className="sr-only z-50 rounded-md bg-card px-3 py-2 text-sm focus:not-sr-only focus:absolute focus:top-2 focus:left-2"
      >
        {texts.skip}
      </a>
      <Header
        organizations={organizations.data}
        current={current}
        email={props.email}
        operations={place.kind === "operations" ? "here" : isPlatformAdmin ? "elsewhere" : "hidden"}
        onSignOut={() => void props.client.auth.signOut()}
      />
      <main id="content" className="mx-auto max-w-6xl px-4 py-6">
        {place.kind === "invitation" ? (
          <Invitation client={props.client} email={props.email} />
        ) : place.kind === "operations" ? (
          <Suspense fallback={<Skeleton lines={LOADING_LINES} label={texts.loading} />}>
            <Operations />
          </Suspense>
        ) : current === undefined ? (
          <NoOrganization client={props.client} organizations={organizations.data} />
        ) : (
          <Organization key={current.organization_id} {...props} place={place} organization={current} />
        )}
      </main>
    </>
  );
}

function currentOrganization(
  place: Place,
  organizations: readonly OrganizationRow[],
): OrganizationRow | undefined {
  const named = "organizationId" in place ? place.organizationId : null;
  if (named === null) return preferredOrganization(organizations);
  return organizations.find((row) => row.organization_id === named);
}

function NoOrganization({
  client,
  organizations,
}: {
  client: SupabaseClient;
  organizations: readonly OrganizationRow[];
}): ReactNode {
  const [first] = organizations;
  if (first === undefined) return <FirstPage client={client} />;
  return (
    <Problem
      title={texts.organizations.unknownTitle}
      note={texts.organizations.unknownNote}
      action={texts.organizations.openFirst}
      onAction={() => navigate(organizationPath(first.organization_id, "billing"))}
    />
  );
}

/** Who belongs to no organization creates one; who runs the platform has come for that. */
function FirstPage({ client }: { client: SupabaseClient }): ReactNode {
  const isPlatformAdmin = usePlatformAdmin();
  useEffect(() => {
    if (isPlatformAdmin.data === true) navigate(OPERATIONS_PATH, true);
  }, [isPlatformAdmin.data]);
  return isPlatformAdmin.isPending || isPlatformAdmin.data === true ? (
    <Skeleton lines={LOADING_LINES} label={texts.loading} />
  ) : (
    <NewOrganization client={client} />
  );
}

interface OrganizationProps extends SignedInProps {
  place: Place;
  organization: OrganizationRow;
}

function Organization({ config, client, userId, place, organization }: OrganizationProps): ReactNode {
  const { organization_id: organizationId } = organization;
  useEffect(() => rememberOrganization(organizationId), [organizationId]);
  useEffect(() => {
    if (place.kind === "start") navigate(organizationPath(organizationId, "billing"), true);
  }, [place.kind, organizationId]);
  const loadStripe = useMemo(
    () => stripeLoader(config.stripePublishableKey, config.stripeScriptUrl),
    [config.stripePublishableKey, config.stripeScriptUrl],
  );
  const toBilling = () => navigate(organizationPath(organizationId, "billing"));
  return (
    <BillingProvider
      client={client}
      organizationId={organizationId}
      userId={userId}
      workersUrl={config.workersUrl}
      checkoutReturnUrl={`${window.location.origin}/billing/return?organization=${organizationId}`}
      queryClient={useQueryClient()}
      {...(loadStripe === undefined ? {} : { loadStripe })}
    >
      <h1 className="mb-3 text-xl font-semibold tracking-tight [overflow-wrap:anywhere]">
        {organization.name}
      </h1>
      {place.kind === "checkout_return" ? (
        <CheckoutReturn sessionId={place.sessionId} isSetup={place.isSetup} onBack={toBilling} />
      ) : (
        <OrganizationSettings organization={organization} place={place} />
      )}
    </BillingProvider>
  );
}
