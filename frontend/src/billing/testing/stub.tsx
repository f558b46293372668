/** A Supabase client whose server is a table of answers, for component tests; the queries are built by the real client. */

import { createClient } from "@supabase/supabase-js";
import { cleanup, render } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach } from "vitest";
import type { HostClient } from "../client.js";
import { BillingProvider, type BillingProviderProps } from "../context.js";

afterEach(cleanup);

/** jsdom has none. */
class SilentObserver {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}
globalThis.ResizeObserver ??= SilentObserver;

export const ORGANIZATION_ID = "11111111-1111-4111-8111-111111111111";
export const USER_ID = "99999999-9999-4999-8999-999999999999";

/** What the server says to a request: a JSON body with status 200, or a whole response. */
export type Answer = (request: Request) => unknown;

/** Answers by what stands after `/rest/v1/` in a path; whatever is not named is an empty list. */
export type Answers = Readonly<Record<string, Answer>>;

/** An answer of PostgREST's that is no success. */
export function refusal(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
}

/** Neither opens nor fails: Realtime stays silent and the page polls. */
class SilentSocket {
  readonly readyState = 0;
  onopen: unknown = null;
  onclose: unknown = null;
  onerror: unknown = null;
  onmessage: unknown = null;
  close(): void {}
  send(): void {}
}

/** Makes a client that gets these answers. */
export function stubClient(answers: Answers): HostClient {
  const answer: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const name = new URL(request.url).pathname.replace("/rest/v1/", "");
    const body = (await answers[name]?.(request)) ?? [];
    if (body instanceof Response) return body;
    return new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } });
  };
  return createClient("http://stub.invalid", "sb_publishable_stub", {
    global: { fetch: answer },
    auth: {
      storageKey: `stub-${crypto.randomUUID()}`,
      persistSession: false,
      autoRefreshToken: false,
      detectSessionInUrl: false,
    },
    realtime: { transport: SilentSocket as unknown as typeof WebSocket },
  });
}

/** The wallet that `get_credit_balance` answers with, unless a test says otherwise. */
export function wallet(changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    balance: "500.000000",
    held: "0.000000",
    available: "500.000000",
    debt: "0.000000",
    pending_grants: "[]",
    expiring: "[]",
    restricted_reason: null,
    is_blocked: false,
    as_of: "2026-11-23T10:42:00Z",
    ...changes,
  };
}

/** The outlook that `get_usage_forecast` answers with, unless a test says otherwise. */
export function forecast(changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    runs_out_at: "2027-03-01T00:00:00+00:00",
    runs_out_earliest: "2027-02-01T00:00:00+00:00",
    runs_out_latest: "2027-04-01T00:00:00+00:00",
    confidence: "0.8",
    spend_per_day: "5.000000",
    days_observed: 28,
    as_of: "2026-11-23T10:42:00+00:00",
    ...changes,
  };
}

/** The caller's membership. */
export function member(role: string): Answer {
  return () => [{ role }];
}

/** Renders billing components as a person of the organization sees them. */
export function renderBilling(
  children: ReactNode,
  answers: Answers,
  props: Partial<BillingProviderProps> = {},
): ReturnType<typeof render> {
  const provided = {
    organization_members: member("owner"),
    "rpc/get_credit_balance": () => wallet(),
    "rpc/get_usage_forecast": () => forecast(),
    ...answers,
  };
  return render(
    <BillingProvider
      client={stubClient(provided)}
      organizationId={ORGANIZATION_ID}
      userId={USER_ID}
      workersUrl="http://workers.invalid"
      locale="en-US"
      timeZone="UTC"
      getAccessToken={async () => "token"}
      {...props}
    >
      {children}
    </BillingProvider>,
  );
}
