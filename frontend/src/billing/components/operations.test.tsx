// @vitest-environment jsdom
import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, test, vi } from "vitest";
import { english } from "../messages.js";
import { type Answers, ORGANIZATION_ID, refusal, renderBilling } from "../testing/stub.js";
import { differencesOf } from "./json_facts.js";
import { PlatformAlerts } from "./platform_alerts.js";
import { ReconciliationReports } from "./reconciliation_reports.js";
import { StripeInbox } from "./stripe_inbox.js";

afterEach(() => vi.unstubAllGlobals());

const failed = {
  event_id: "evt_failed",
  type: "checkout.session.completed",
  status: "failed",
  attempts: 3,
  error: "stripe_unavailable: rate_limit",
  next_attempt_at: "2026-11-23T10:08:00Z",
  organization_id: ORGANIZATION_ID,
  received_at: "2026-11-23T10:00:00Z",
};
const parked = {
  ...failed,
  event_id: "evt_parked",
  type: "invoice.paid",
  status: "parked",
  attempts: 1,
  error: "not_found: customer",
  organization_id: null,
  received_at: "2026-11-23T11:00:00Z",
};

/** A platform admin's answers; the inbox has these events. */
function inboxOf(events: readonly { status: string }[], asked: unknown[] = []): Answers {
  return {
    "rpc/am_i_platform_admin": () => true,
    "rpc/list_stripe_events": async (request: Request) => {
      const wanted = await request.json();
      asked.push(wanted);
      return events.filter((event) => wanted.status === undefined || event.status === wanted.status);
    },
  };
}

/** The worker's answers, one a call; what it was asked is collected. */
function stubReplay(...answers: readonly unknown[]): unknown[] {
  const asked: unknown[] = [];
  const left = [...answers];
  vi.stubGlobal("fetch", async (input: string, init: RequestInit) => {
    expect(input).toBe("http://workers.invalid/workers/v1/replay_stripe_events");
    asked.push(JSON.parse(String(init.body)));
    const answer = left.shift();
    return answer instanceof Response ? answer : Response.json(answer);
  });
  return asked;
}

test("what has failed or is parked stands in the inbox, newest first, with why", async () => {
  renderBilling(<StripeInbox />, inboxOf([failed, parked, { ...failed, status: "processed" }]));
  const rows = await screen.findAllByRole("row");
  expect(rows).toHaveLength(3);
  expect(rows[1]?.textContent).toContain("evt_parked");
  expect(rows[1]?.textContent).toContain("1 attempt");
  expect(rows[1]?.textContent).toContain("Unknown");
  expect(rows[2]?.textContent).toContain("evt_failed");
  expect(rows[2]?.textContent).toContain("3 attempts");
  expect(rows[2]?.textContent).toContain("stripe_unavailable: rate_limit");
  expect(rows[2]?.textContent).toContain("Nov 23, 2026, 10:00 AM");
  expect(rows[2]?.textContent).toContain("Next by itself: Nov 23, 2026, 10:08 AM");
  expect(rows[2]?.textContent).toContain(ORGANIZATION_ID);
});

test("the inbox is filtered by status, and a processed event is not run again", async () => {
  const asked: unknown[] = [];
  renderBilling(
    <StripeInbox />,
    inboxOf([failed, { ...failed, event_id: "evt_ok", status: "processed" }], asked),
  );
  await screen.findByRole("row", { name: /evt_failed/ });
  await userEvent.selectOptions(screen.getByLabelText("Show"), "Processed");
  const row = await screen.findByRole("row", { name: /evt_ok/ });
  expect(within(row).queryByRole("button")).toBeNull();
  expect(screen.queryByRole("button", { name: "Run all failed again" })).toBeNull();
  await userEvent.selectOptions(screen.getByLabelText("Show"), "All");
  await waitFor(() => expect(screen.getAllByRole("row")).toHaveLength(3));
  expect(asked).toEqual([
    { limit: 100, status: "failed" },
    { limit: 100, status: "parked" },
    { limit: 100, status: "processed" },
    { limit: 100 },
  ]);
});

test("one event is run again, and what became of it is told", async () => {
  const asked = stubReplay({ events: [{ event_id: "evt_failed", status: "processed" }] });
  let events: readonly { status: string }[] = [failed];
  renderBilling(<StripeInbox />, {
    ...inboxOf([]),
    "rpc/list_stripe_events": async (request: Request) => {
      const { status } = await request.json();
      return events.filter((event) => event.status === status);
    },
  });
  const [control] = await screen.findAllByRole("button", { name: "Run again: evt_failed" });
  events = [];
  if (control !== undefined) await userEvent.click(control);
  expect(await screen.findByText("evt_failed: Processed")).toBeDefined();
  expect(await screen.findByText(english.inbox.empty)).toBeDefined();
  expect(asked).toEqual([{ event_ids: ["evt_failed"] }]);
});

test("all of a status are run again after a question only, and those that failed anew are counted", async () => {
  const asked = stubReplay({
    events: [
      { event_id: "evt_1", status: "processed" },
      { event_id: "evt_2", status: "parked" },
    ],
  });
  renderBilling(<StripeInbox />, inboxOf([failed, parked]));
  await userEvent.click(await screen.findByRole("button", { name: "Run all parked again" }));
  await userEvent.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Cancel" }));
  expect(asked).toEqual([]);
  await userEvent.click(screen.getByRole("button", { name: "Run all parked again" }));
  const dialog = within(screen.getByRole("dialog"));
  expect(dialog.getByText(english.inbox.confirmNote)).toBeDefined();
  await userEvent.click(dialog.getByRole("button", { name: "Run them again" }));
  expect(await screen.findByText("1 of 2 events applied.")).toBeDefined();
  expect(asked).toEqual([{ status: "parked" }]);
});

test("an event that fails anew is told with what refused it", async () => {
  stubReplay({ events: [{ event_id: "evt_failed", status: "not_found" }] });
  renderBilling(<StripeInbox />, inboxOf([failed]));
  const [control] = await screen.findAllByRole("button", { name: "Run again: evt_failed" });
  if (control !== undefined) await userEvent.click(control);
  expect(await screen.findByText("evt_failed: not applied (not_found)")).toBeDefined();
});

test("a replay that the worker refuses says so and leaves the list as it is", async () => {
  stubReplay(refusal(503, { message: "busy", details: {}, hint: "" }));
  renderBilling(<StripeInbox />, inboxOf([failed]));
  const [control] = await screen.findAllByRole("button", { name: "Run again: evt_failed" });
  if (control !== undefined) await userEvent.click(control);
  expect((await screen.findByRole("alert")).textContent).toContain(english.errors.busy);
  expect(screen.getByRole("row", { name: /evt_failed/ })).toBeDefined();
});

const alert = {
  id: "a1",
  kind: "stripe_event_parked",
  severity: "critical",
  subject_id: "evt_parked",
  organization_id: null,
  details: { attempts: 5, error: "not_found", next_attempt_at: null },
  occurrences: 2,
  last_seen_at: "2026-11-23T10:00:00Z",
};

test("an alert says what, how grave, how often and with which figures, and is closed", async () => {
  const closed: unknown[] = [];
  renderBilling(<PlatformAlerts />, {
    "rpc/am_i_platform_admin": () => true,
    "rpc/list_platform_alerts": () => (closed.length === 0 ? [alert] : []),
    "rpc/close_platform_alert": async (request: Request) => {
      closed.push(await request.json());
      return new Response(null, { status: 204 });
    },
  });
  const row = await screen.findByRole("row", { name: /Stripe event parked/ });
  for (const text of ["evt_parked", "Critical", "2 times", "attempts 5", "error not_found"]) {
    expect(row.textContent).toContain(text);
  }
  expect(row.textContent).not.toContain("next_attempt_at");
  const [control] = within(row).getAllByRole("button", {
    name: "Close the alert: Stripe event parked, evt_parked",
  });
  if (control !== undefined) await userEvent.click(control);
  expect(await screen.findByText(english.platformAlerts.empty)).toBeDefined();
  expect(closed).toEqual([{ alert_id: "a1" }]);
});

test("an alert that cannot be closed stays, and why is told", async () => {
  renderBilling(<PlatformAlerts />, {
    "rpc/am_i_platform_admin": () => true,
    "rpc/list_platform_alerts": () => [alert],
    "rpc/close_platform_alert": () => refusal(404, { code: "PT404", message: "not_found", details: "{}" }),
  });
  const [control] = await screen.findAllByRole("button", { name: /Close the alert/ });
  if (control !== undefined) await userEvent.click(control);
  expect((await screen.findByRole("alert")).textContent).toContain(english.errors.not_found);
  expect(screen.getByRole("row", { name: /Stripe event parked/ })).toBeDefined();
});

const difference = {
  organization_id: ORGANIZATION_ID,
  kind: "invoice",
  stripe_object_id: "in_1",
  problem: "different",
  ours: { status: "open", amount_due: 1900 },
  stripes: { status: "paid", amount_due: 1900 },
  first_seen_at: "2026-11-22T10:00:00Z",
  last_seen_at: "2026-11-23T10:00:00Z",
};

test("a difference shows both sides of what differs; what is missing here is shown as Stripe has it", async () => {
  renderBilling(<ReconciliationReports />, {
    "rpc/am_i_platform_admin": () => true,
    "rpc/list_reconciliation_reports": () => [
      difference,
      {
        ...difference,
        kind: "refund",
        stripe_object_id: "re_1",
        problem: "missing",
        ours: null,
        stripes: { amount: 500 },
      },
    ],
  });
  const row = await screen.findByRole("row", { name: /in_1/ });
  expect(row.textContent).toContain("status: ours open, Stripe's paid");
  expect(row.textContent).not.toContain("amount_due");
  expect(row.textContent).toContain("Since Nov 22, 2026, 10:00 AM");
  expect(row.textContent).toContain("Last found Nov 23, 2026, 10:00 AM");
  const missing = screen.getByRole("row", { name: /Refund/ });
  expect(missing.textContent).toContain("Missing here");
  expect(missing.textContent).toContain("amount: 500");
});

test("without a difference Stripe and the ledger agree", async () => {
  renderBilling(<ReconciliationReports />, { "rpc/am_i_platform_admin": () => true });
  expect(await screen.findByText("Stripe and the ledger agree")).toBeDefined();
});

test("a side that lacks a fact differs in it, and equal sides differ in nothing", () => {
  expect(differencesOf({ a: 1, b: null }, { a: 1, c: ["x"] })).toEqual([
    { name: "c", ours: null, stripes: '["x"]' },
  ]);
  expect(differencesOf({ a: { b: 1 } }, { a: { b: 1 } })).toEqual([]);
});

const sections = [
  ["StripeInbox", <StripeInbox key="inbox" />, "rpc/list_stripe_events"],
  ["PlatformAlerts", <PlatformAlerts key="alerts" />, "rpc/list_platform_alerts"],
  ["ReconciliationReports", <ReconciliationReports key="reports" />, "rpc/list_reconciliation_reports"],
] as const;

test.each(sections)(
  "%s asks nothing for somebody who does not run the platform, and says so",
  async (_, section, read) => {
    const asked = vi.fn(() => []);
    renderBilling(section, { "rpc/am_i_platform_admin": () => false, [read]: asked });
    expect(await screen.findByText(english.states.noPermissionPlatform)).toBeDefined();
    expect(asked).not.toHaveBeenCalled();
  },
);

test.each(sections)(
  "%s that cannot be read says so and is read again when asked",
  async (_, section, read) => {
    let isBroken = true;
    renderBilling(section, {
      "rpc/am_i_platform_admin": () => true,
      [read]: () => (isBroken ? refusal(500, {}) : []),
    });
    expect(screen.getByRole("status").textContent).toContain("Loading…");
    expect((await screen.findByRole("alert")).textContent).toContain(english.errors.unexpected);
    isBroken = false;
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    await waitFor(() => expect(screen.queryByRole("alert")).toBeNull());
    const empty = [english.inbox.empty, english.platformAlerts.empty, english.reconciliation.empty];
    expect(await screen.findByText((text) => empty.includes(text))).toBeDefined();
  },
);
