// @vitest-environment jsdom
import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, test, vi } from "vitest";
import type { LoadStripe } from "../context.js";
import { english } from "../messages.js";
import { type Answers, member, ORGANIZATION_ID, refusal, renderBilling, USER_ID } from "../testing/stub.js";
import { Approvals } from "./approvals.js";
import { AutoTopup } from "./auto_topup.js";
import { BillingNotices } from "./billing_notices.js";
import { CreditGrants } from "./credit_grants.js";
import { PaymentMethods } from "./payment_methods.js";
import { PlanActions } from "./plan_actions.js";
import { PlanPicker } from "./plan_picker.js";

afterEach(() => vi.unstubAllGlobals());

/** What workers were asked, by name, and what each answers. */
function stubWorkers(answers: Readonly<Record<string, unknown>>): { name: string; body: unknown }[] {
  const calls: { name: string; body: unknown }[] = [];
  vi.stubGlobal("fetch", async (input: string, init: RequestInit) => {
    const name = input.split("/").at(-1) ?? "";
    calls.push({ name, body: JSON.parse(String(init.body)) });
    const answer = answers[name];
    return answer instanceof Response ? answer : new Response(JSON.stringify(answer ?? {}));
  });
  return calls;
}

const waiting = {
  id: "a1",
  limit_id: "l1",
  status: "pending",
  required: "12.500000",
  additional: null,
  agent_type: "QAAgent",
  action: "answer_question",
  user_id: null,
  agent_key_id: "0123456789abcdef",
  run_id: "night-7",
  resolved_at: null,
  created_at: "2026-11-23T10:00:00Z",
  limit: { subject_type: "department", subject_id: "d", amount: "10.000000", limit_window: "month" },
};

/** Pending ones for `status=eq.pending`, decided ones otherwise. */
function approvalRows(pending: unknown[], decided: unknown[] = []): Answers {
  return {
    credit_approvals: (request) =>
      new URL(request.url).searchParams.get("status") === "eq.pending" ? pending : decided,
  };
}

test("an approval shows what, who, how much and which limit, and is approved with additional credits", async () => {
  const sent: unknown[] = [];
  renderBilling(<Approvals />, {
    ...approvalRows([waiting]),
    "rpc/resolve_approval": async (request: Request) => {
      sent.push(await request.json());
      return {};
    },
  });
  const row = await screen.findByRole("row", { name: /QAAgent · answer_question/ });
  expect(row.textContent).toContain("Run night-7");
  expect(row.textContent).toContain("Limit: 10 credits a month");
  expect(row.textContent).toContain("Agent key 01234567");
  expect(row.textContent).toContain("12.5");
  await userEvent.click(await within(row).findByText("Decide", { selector: "td button" }));
  const dialog = within(screen.getByRole("dialog"));
  await userEvent.click(dialog.getByLabelText("Widen the limit"));
  const entry = dialog.getByLabelText("Additional credits");
  await userEvent.clear(entry);
  await userEvent.type(entry, "0");
  await userEvent.click(dialog.getByRole("button", { name: "Approve" }));
  expect(dialog.getByText(english.approvals.additionalInvalid)).toBeDefined();
  await userEvent.clear(entry);
  await userEvent.type(entry, "20.5");
  await userEvent.click(dialog.getByRole("button", { name: "Approve" }));
  await waitFor(() => expect(sent).toEqual([{ id: "a1", approve: true, additional: "20.5" }]));
});

test("a member sees their own requests and cannot decide", async () => {
  renderBilling(<Approvals />, {
    organization_members: member("member"),
    ...approvalRows([{ ...waiting, agent_key_id: null, user_id: USER_ID, limit: null }]),
  });
  const row = await screen.findByRole("row", { name: /QAAgent/ });
  expect(row.textContent).toContain("You");
  expect(screen.getByText(english.approvals.ownOnly)).toBeDefined();
  expect(screen.queryByText("Decide")).toBeNull();
});

test("nothing waits, and what was decided is told with its reach", async () => {
  const approved = { ...waiting, id: "a2", status: "approved", additional: "20.000000" };
  renderBilling(<Approvals />, approvalRows([], [approved, { ...waiting, id: "a3", status: "rejected" }]));
  expect(await screen.findByText("Nothing waits for approval")).toBeDefined();
  expect(await screen.findByText("20 credits more")).toBeDefined();
  expect(screen.getByText("Rejected")).toBeDefined();
});

test("approvals that cannot be read say so and can be tried again", async () => {
  renderBilling(<Approvals />, { credit_approvals: () => refusal(500, {}) });
  expect((await screen.findByRole("alert")).textContent).toContain(english.errors.unexpected);
});

test("what has to be done is told on top: pay, decide", async () => {
  const shown = vi.fn();
  renderBilling(<BillingNotices onShowApprovals={shown} />, {
    ...approvalRows([waiting, { ...waiting, id: "a2" }]),
    subscriptions: () => [{ status: "past_due" }],
    invoices: () => [{ id: "i", status: "open", hosted_invoice_url: "https://stripe.test/invoice" }],
  });
  const pay = await screen.findByRole("link", { name: "Pay now" });
  expect(pay.getAttribute("href")).toBe("https://stripe.test/invoice");
  expect(screen.getByText("2 spends wait for approval")).toBeDefined();
  await userEvent.click(screen.getByRole("button", { name: "Review" }));
  expect(shown).toHaveBeenCalledOnce();
});

/** A loader of a Stripe.js that can do this one thing. */
const stripeThat =
  (confirmPayment: () => Promise<unknown>): LoadStripe =>
  async () =>
    ({ confirmPayment }) as unknown as Awaited<ReturnType<LoadStripe>>;

const asking = { auto_topup_attempts: () => [{ id: "t", status: "needs_action" }], ...approvalRows([]) };

test("a top-up that the bank asks about is confirmed with that very payment", async () => {
  const statuses = ["needs_action", "succeeded"];
  vi.stubGlobal("fetch", async () =>
    Response.json({ status: statuses.shift(), client_secret: "pi_1_secret_x", payment_method_id: "pm_1" }),
  );
  const confirmPayment = vi.fn(async () => ({}));
  renderBilling(<BillingNotices onShowApprovals={() => {}} />, asking, {
    loadStripe: stripeThat(confirmPayment),
  });
  await userEvent.click(await screen.findByRole("button", { name: "Confirm payment" }));
  await waitFor(() => expect(statuses).toEqual([]));
  expect(confirmPayment).toHaveBeenCalledExactlyOnceWith({
    clientSecret: "pi_1_secret_x",
    confirmParams: { payment_method: "pm_1", return_url: window.location.href },
    redirect: "if_required",
  });
  expect(screen.queryByRole("alert")).toBeNull();
});

test("a bank that does not confirm is told, and without Stripe.js people are sent to buy by hand", async () => {
  vi.stubGlobal("fetch", async () =>
    Response.json({ status: "needs_action", client_secret: "pi_1_secret_x", payment_method_id: "pm_1" }),
  );
  const notices = <BillingNotices onShowApprovals={() => {}} />;
  const first = renderBilling(notices, asking, { loadStripe: stripeThat(async () => ({})) });
  await userEvent.click(await screen.findByRole("button", { name: "Confirm payment" }));
  expect((await screen.findByRole("alert")).textContent).toContain(english.errors.payment_failed);
  first.unmount();
  renderBilling(notices, asking);
  expect(await screen.findByText(english.topup.needsActionByHand)).toBeDefined();
  expect(screen.queryByRole("button", { name: "Confirm payment" })).toBeNull();
});

const starter = {
  id: "starter",
  key: "starter",
  name: "Starter",
  description: "",
  unit_amount: 1900,
  currency: "usd",
  billing_interval: "month",
  credits_per_period: "1000.000000",
  rollover_cap: null,
  rollover_share: "0.5000",
  trial_days: 14,
  trial_credits: "100.000000",
};
const pro = { ...starter, id: "pro", name: "Pro", unit_amount: 4900, trial_days: 0 };
const subscribed = {
  id: "s",
  status: "active",
  plan_id: "starter",
  next_plan_id: null,
  next_plan: null,
  ends_at: null,
  pause_behavior: null,
  stripe_subscription_id: "sub_1",
  current_period_start: "2026-11-01T00:00:00Z",
  current_period_end: "2026-12-01T00:00:00Z",
  trial_end: null,
  cancel_at: null,
  cancel_at_period_end: false,
  ended_at: null,
  unit_amount: 1900,
  currency: "usd",
  plan: starter,
};

test("a first plan offers its trial, what it brings and what of it rolls over", async () => {
  renderBilling(<PlanPicker />, { subscription_plans: () => [starter], subscriptions: () => [] });
  expect(await screen.findByRole("button", { name: "Start trial: Starter" })).toBeDefined();
  expect(screen.getByText("1,000 credits a month")).toBeDefined();
  expect(screen.getByText("Up to 500 unused credits roll over")).toBeDefined();
  expect(screen.getByText("14 days of trial with 100 credits")).toBeDefined();
});

test("an upgrade says before what it will do, and a failed payment is told", async () => {
  const calls = stubWorkers({
    change_plan: refusal(402, { message: "payment_failed", details: {}, hint: "" }),
  });
  renderBilling(<PlanPicker />, {
    subscription_plans: () => [starter, pro],
    subscriptions: () => [subscribed],
  });
  expect(await screen.findByText("Current plan")).toBeDefined();
  await userEvent.click(await screen.findByRole("button", { name: "Upgrade: Pro" }));
  const dialog = within(screen.getByRole("dialog"));
  expect(dialog.getByText(/difference for the time until Dec 1, 2026 is charged now/)).toBeDefined();
  await userEvent.click(dialog.getByRole("button", { name: "Change plan" }));
  expect((await dialog.findByRole("alert")).textContent).toContain(english.errors.payment_failed);
  expect(calls).toEqual([
    {
      name: "change_plan",
      body: { organization_id: ORGANIZATION_ID, plan_id: "pro", mode: "prorate_delta" },
    },
  ]);
});

test("a plan is cancelled at its period's end, after a question", async () => {
  const calls = stubWorkers({ cancel_subscription: {} });
  renderBilling(<PlanActions />, { subscriptions: () => [subscribed] });
  await userEvent.click(await screen.findByRole("button", { name: "Cancel plan" }));
  const dialog = within(screen.getByRole("dialog"));
  expect(dialog.getByText(/goes on until Dec 1, 2026/)).toBeDefined();
  await userEvent.click(dialog.getByRole("button", { name: "Cancel at period end" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(calls[0]).toEqual({ name: "cancel_subscription", body: { organization_id: ORGANIZATION_ID } });
});

test.each([
  ["Keep the plan", { cancel_at_period_end: true }],
  ["Resume the plan", { status: "paused" }],
])("a plan that ends or rests offers: %s", async (name, changes) => {
  const calls = stubWorkers({ resume_subscription: {} });
  renderBilling(<PlanActions />, { subscriptions: () => [{ ...subscribed, ...changes }] });
  await userEvent.click(await screen.findByRole("button", { name }));
  await waitFor(() => expect(calls.map((call) => call.name)).toEqual(["resume_subscription"]));
});

test("cards show the default and which end soon; another becomes the default", async () => {
  const card = {
    type: "card",
    brand: "visa",
    last4: "4242",
    exp_month: 12,
    exp_year: 2040,
    is_default: true,
  };
  const calls = stubWorkers({ set_default_payment_method: {} });
  renderBilling(<PaymentMethods />, {
    payment_methods: () => [
      { ...card, id: "1" },
      { ...card, id: "2", brand: "mastercard", last4: "4444", exp_year: 2020, is_default: false },
    ],
  });
  const first = await screen.findByRole("row", { name: /Visa ending 4242/ });
  expect(first.textContent).toContain("Default");
  const second = screen.getByRole("row", { name: /Mastercard ending 4444/ });
  expect(second.textContent).toContain("Expired");
  const [choose] = within(second).getAllByRole("button", { name: "Make Mastercard ending 4444 the default" });
  if (choose !== undefined) await userEvent.click(choose);
  expect(calls).toEqual([
    {
      name: "set_default_payment_method",
      body: { organization_id: ORGANIZATION_ID, payment_method_id: "2" },
    },
  ]);
});

const pack = {
  id: "p",
  key: "pack_500",
  name: "500 credits",
  description: "",
  credits: "500.000000",
  unit_amount: 1000,
  currency: "usd",
  credit_expiry: null,
};

test("automatic top-up is switched on only with terms that can be read and the words agreed to", async () => {
  const sent: Record<string, unknown>[] = [];
  renderBilling(<AutoTopup />, {
    credit_packages: () => [pack],
    auto_topups: () => [],
    "rpc/set_auto_topup": async (request: Request) => {
      sent.push(await request.json());
      return {};
    },
  });
  await userEvent.click(await screen.findByRole("button", { name: "Set up" }));
  const dialog = within(screen.getByRole("dialog"));
  const submit = await dialog.findByRole("button", { name: "Switch on" });
  await userEvent.click(submit);
  expect(dialog.getAllByText(english.topup.entryInvalid)).toHaveLength(2);
  await userEvent.type(dialog.getByLabelText("When available credits reach"), "100");
  await userEvent.click(dialog.getByLabelText("Fill up to"));
  await userEvent.type(dialog.getByLabelText("Fill up to credits"), "50");
  await userEvent.type(dialog.getByLabelText("At most a month, in USD (optional)"), "60.50");
  await userEvent.click(dialog.getByLabelText("I agree"));
  await userEvent.click(submit);
  expect(dialog.getByText(english.topup.targetInvalid)).toBeDefined();
  await userEvent.type(dialog.getByLabelText("Fill up to credits"), "0");
  await userEvent.click(submit);
  expect(dialog.getByText(english.topup.agreeMissing), "changed terms need a new consent").toBeDefined();
  expect(sent).toEqual([]);
  await userEvent.click(dialog.getByLabelText("I agree"));
  await userEvent.click(submit);
  await waitFor(() => expect(sent).toHaveLength(1));
  const [terms] = sent;
  expect(terms).toMatchObject({
    enabled: true,
    threshold: "100",
    target: "500",
    package_id: "p",
    monthly_cap: 6050,
  });
  expect(terms?.consent).toContain(
    "they are filled up to 500. A credit costs $0.02. At most $60.50 a month.",
  );
});

test("a paused top-up says why, and its failed charges are listed", async () => {
  renderBilling(<AutoTopup />, {
    auto_topups: () => [
      {
        is_enabled: true,
        threshold: "100.000000",
        topup_amount: "500.000000",
        target_balance: null,
        package_id: "p",
        monthly_cap: null,
        currency: "usd",
        consent_text: "",
        consented_at: "2026-11-20T10:00:00Z",
        paused_reason: "declined",
      },
    ],
    auto_topup_attempts: () => [
      {
        id: "t",
        status: "failed",
        credits: "500.000000",
        amount: 1000,
        currency: "usd",
        failure_message: "Your card has insufficient funds.",
        created_at: "2026-11-23T10:00:00Z",
      },
    ],
  });
  expect(await screen.findByText(english.topup.pausedReasons.declined)).toBeDefined();
  expect(screen.getByText(/When 100 credits or fewer are available, 500 credits are bought/)).toBeDefined();
  expect(await screen.findByText("Your card has insufficient funds.")).toBeDefined();
});

test("grants tell their origin, their period and what of them rolls over", async () => {
  const grant = {
    id: "1",
    source: "subscription",
    amount: "1000.000000",
    remaining: "400.000000",
    held: "25.000000",
    priority: 0,
    department_id: null,
    agent_types: null,
    effective_at: "2026-11-01T00:00:00Z",
    expires_at: "2026-12-04T00:00:00Z",
    activated_at: "2026-11-01T00:00:00Z",
    period_start: "2026-11-01T00:00:00Z",
    period_ends_at: "2026-12-01T00:00:00Z",
    rollover_cap: "500.000000",
  };
  const bought = { ...grant, id: "2", source: "purchase", held: "0", expires_at: null, period_ends_at: null };
  renderBilling(<CreditGrants />, {
    credit_grants: () => [
      grant,
      { ...bought, period_start: null, rollover_cap: null, agent_types: ["QAAgent"] },
    ],
  });
  const plan = await screen.findByRole("row", { name: /Plan/ });
  expect(plan.textContent).toContain("Period Nov 1, 2026 to Dec 1, 2026");
  expect(plan.textContent).toContain("Up to 500 roll over");
  expect(plan.textContent).toContain("400 of 1,000");
  expect(plan.textContent).toContain("25 held");
  const pack_ = screen.getByRole("row", { name: /Credit pack/ });
  expect(pack_.textContent).toContain("Never");
  expect(pack_.textContent).toContain("For QAAgent alone");
});
