/** What every billing component needs to know: whose billing it is, how to reach it, and in which language to show it. */

import type { Stripe } from "@stripe/stripe-js";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useMemo, useState } from "react";
import { type BillingSchema, billingSchema, type HostClient } from "./client.js";
import { createFormatters, type Formatters } from "./format.js";
import { LiveUpdates } from "./live.js";
import { english, type Messages } from "./messages.js";
import { PLATFORM } from "./query_keys.js";

/** Loads Stripe.js, once, when it is first needed; rejects when it is out of reach. */
export type LoadStripe = () => Promise<Stripe>;

/** Shared by all hooks and components below a `BillingProvider`. */
export interface BillingContextValue {
  readonly client: HostClient;
  readonly schema: BillingSchema;
  readonly organizationId: string;
  readonly userId: string;
  readonly workersUrl: string;
  readonly checkoutReturnUrl: string | undefined;
  readonly loadStripe: LoadStripe | undefined;
  readonly messages: Messages;
  readonly format: Formatters;
  readonly getAccessToken: () => Promise<string | null>;
}

const BillingContext = createContext<BillingContextValue | null>(null);

export interface BillingProviderProps {
  /** The host's Supabase client, signed in. */
  client: HostClient;
  /** Whose billing is shown. */
  organizationId: string;
  /** The signed-in person. */
  userId: string;
  /** Base address of the workers, without a trailing slash. */
  workersUrl: string;
  /** Where Stripe sends people back to: an address on the front end's origin that shows `CheckoutReturn`. */
  checkoutReturnUrl?: string;
  /** Loads Stripe.js with the host's key; without it people pay on Stripe's page only. */
  loadStripe?: LoadStripe;
  /** BCP 47 tag; the browser's language by default. */
  locale?: string;
  /** IANA zone for times; the browser's by default. */
  timeZone?: string;
  /** Texts in another language. */
  messages?: Messages;
  /** The host's TanStack Query client; one of its own by default. */
  queryClient?: QueryClient;
  /** How to get the person's access token; the client's session by default. */
  getAccessToken?: () => Promise<string | null>;
  children: ReactNode;
}

/** Gives billing components their organization, client, texts and live updates. */
export function BillingProvider(props: BillingProviderProps): ReactNode {
  const [ownQueryClient] = useState(createQueryClient);
  const value = useContextValue(props);
  return (
    <QueryClientProvider client={props.queryClient ?? ownQueryClient}>
      <BillingContext value={value}>
        <LiveUpdates key={props.organizationId}>{props.children}</LiveUpdates>
      </BillingContext>
    </QueryClientProvider>
  );
}

/** What `BillingProvider` takes, without what belongs to an organization. */
export type PlatformProviderProps = Omit<
  BillingProviderProps,
  "organizationId" | "checkoutReturnUrl" | "loadStripe"
>;

/** Stands above the components for those who run the platform (`StripeInbox` and its neighbours), where no organization is chosen. */
export function PlatformProvider(props: PlatformProviderProps): ReactNode {
  const [ownQueryClient] = useState(createQueryClient);
  const value = useContextValue({ ...props, organizationId: PLATFORM });
  return (
    <QueryClientProvider client={props.queryClient ?? ownQueryClient}>
      <BillingContext value={value}>{props.children}</BillingContext>
    </QueryClientProvider>
  );
}

function useContextValue(props: BillingProviderProps): BillingContextValue {
  const { client, organizationId, userId, workersUrl, checkoutReturnUrl, locale } = props;
  const { timeZone, messages, getAccessToken, loadStripe } = props;
  return useMemo<BillingContextValue>(
    () => ({
      client,
      schema: billingSchema(client),
      organizationId,
      userId,
      workersUrl,
      checkoutReturnUrl,
      loadStripe,
      messages: messages ?? english,
      format: createFormatters(locale ?? navigator.language, timeZone),
      getAccessToken: getAccessToken ?? (() => sessionToken(client)),
    }),
    [
      client,
      organizationId,
      userId,
      workersUrl,
      checkoutReturnUrl,
      loadStripe,
      locale,
      timeZone,
      messages,
      getAccessToken,
    ],
  );
}

/** Makes a query client that reads again when the window is looked at. Repeating a failed read is left to postgrest-js, which does it. */
export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: { staleTime: 1_000, refetchOnWindowFocus: "always", retry: false },
      mutations: { retry: false },
    },
  });
}

async function sessionToken(client: HostClient): Promise<string | null> {
  const { data } = await client.auth.getSession();
  return data.session?.access_token ?? null;
}

/** Reads what the nearest `BillingProvider` gives. */
export function useBilling(): BillingContextValue {
  const value = useContext(BillingContext);
  if (value === null) throw new Error("Billing components need a <BillingProvider> above them.");
  return value;
}

/** The texts of the nearest `BillingProvider`. */
export function useMessages(): Messages {
  return useBilling().messages;
}

/** The formatters of the nearest `BillingProvider`. */
export function useFormat(): Formatters {
  return useBilling().format;
}
