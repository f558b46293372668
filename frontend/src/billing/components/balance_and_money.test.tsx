// @vitest-environment jsdom
import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { english, type Messages } from "../messages.js";
import { forecast, member, refusal, renderBilling, wallet } from "../testing/stub.js";
import { CreditBalance } from "./credit_balance.js";
import { CreditPackages } from "./credit_packages.js";
import { PaymentHistory } from "./payment_history.js";
import { SubscriptionCard } from "./subscription_card.js";

const PATIENCE = { timeout: 5_000 };

function region(name: string) {
  return within(screen.getByRole("region", { name }));
}

test("a balance shows a skeleton first and then every digit of the wallet", async () => {
  renderBilling(<CreditBalance />, {
    "rpc/get_credit_balance": () =>
      wallet({
        balance: "99999999999999.999999",
        held: "0.000001",
        available: "99999999999999.999998",
        expiring: '[{"expires_at": "2026-12-24T00:00:00+00:00", "amount": 12345678901234.100000}]',
        pending_grants: '[{"grant_id": "g", "effective_at": "2027-01-01T00:00:00+00:00", "amount": 7}]',
      }),
  });
  expect(screen.getByText("Loading…")).toBeDefined();
  expect((await screen.findByTestId("available-credits")).textContent).toBe("99,999,999,999,999.999998");
  const card = region("Credit balance");
  expect(card.getByText("99,999,999,999,999.999999")).toBeDefined();
  expect(card.getByText("0.000001")).toBeDefined();
  expect(card.getByText("12,345,678,901,234.1 on Dec 24, 2026")).toBeDefined();
  expect(card.getByText("7 on Jan 1, 2027")).toBeDefined();
  expect(card.getByText("Healthy")).toBeDefined();
});

test.each([
  ["Used up", { balance: "0", available: "0", is_blocked: true }],
  ["All held", { held: "500", available: "0" }],
  ["In debt", { balance: "-5", available: "-5", debt: "5" }],
  ["Restricted", { restricted_reason: "dispute", is_blocked: true }],
])("a balance in trouble is called %s", async (label, changes) => {
  renderBilling(<CreditBalance />, { "rpc/get_credit_balance": () => wallet(changes) });
  expect(await screen.findByText(label)).toBeDefined();
});

test("a pace that empties the wallet within three days is called low, and its interval told", async () => {
  renderBilling(<CreditBalance />, {
    "rpc/get_usage_forecast": () =>
      forecast({
        runs_out_at: "2026-11-25T10:42:00+00:00",
        runs_out_earliest: "2026-11-24T20:00:00+00:00",
        runs_out_latest: "2026-11-27T00:00:00+00:00",
        spend_per_day: "250.500000",
      }),
  });
  expect(await screen.findByText("Running low")).toBeDefined();
  const card = region("Credit balance");
  expect(card.getByText("Nov 25, 2026")).toBeDefined();
  expect(card.getByText("between Nov 24, 2026 and Nov 27, 2026")).toBeDefined();
  expect(card.getByText("80% likely, at 250.5 credits a day")).toBeDefined();
});

test.each([
  ["No use yet", { days_observed: 0, runs_out_at: null, runs_out_earliest: null, spend_per_day: null }],
  ["Not within two years", { runs_out_at: null, runs_out_latest: null }],
])("an outlook without a date says %s", async (text, changes) => {
  renderBilling(<CreditBalance />, { "rpc/get_usage_forecast": () => forecast(changes) });
  expect(await screen.findByText(text)).toBeDefined();
  expect(screen.getByText("Healthy")).toBeDefined();
});

test("a restriction is told before it holds, and since when it does", async () => {
  const due = { restricted_reason: "past_due", restricted_from: "2026-11-26T09:00:00+00:00" };
  const first = renderBilling(<CreditBalance />, { organizations: () => [due] });
  expect(await screen.findByText(/Unless it is paid, spending stops on Nov 26, 2026/)).toBeDefined();
  expect(screen.getByText("Healthy")).toBeDefined();
  first.unmount();
  renderBilling(<CreditBalance />, {
    organizations: () => [due],
    "rpc/get_credit_balance": () => wallet({ restricted_reason: "past_due", is_blocked: true }),
  });
  expect(await screen.findByText(/Restricted since Nov 26, 2026/)).toBeDefined();
  expect(screen.queryByText(/Unless it is paid/)).toBeNull();
});

test("a section that failed says so in words and recovers by its button", async () => {
  let isBroken = true;
  renderBilling(<CreditBalance />, {
    "rpc/get_credit_balance": () => (isBroken ? refusal(500, { message: "canceling statement" }) : wallet()),
  });
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain(english.errors.unexpected);
  expect(alert.textContent).not.toContain("canceling statement");
  isBroken = false;
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect((await screen.findByTestId("available-credits")).textContent).toBe("500");
});

test("an expired session is told as such", async () => {
  renderBilling(<CreditBalance />, {
    "rpc/get_credit_balance": () => refusal(401, { code: "PGRST301", message: "JWT expired" }),
  });
  expect((await screen.findByRole("alert")).textContent).toContain(english.errors.session_expired);
});

test("a plan in trial names its first charge at the price agreed, not at today's list price", async () => {
  renderBilling(<SubscriptionCard />, {
    subscriptions: () => [
      {
        id: "s",
        status: "trialing",
        current_period_start: "2026-11-01T00:00:00Z",
        current_period_end: "2026-12-01T00:00:00Z",
        trial_end: "2026-12-01T00:00:00Z",
        cancel_at: null,
        cancel_at_period_end: false,
        ended_at: null,
        unit_amount: 1900,
        currency: "eur",
        stripe_subscription_id: "sub_1",
        next_plan: { name: "Starter" },
        plan: {
          name: "Pro",
          unit_amount: 4900,
          currency: "eur",
          billing_interval: "month",
          credits_per_period: "5000.000000",
        },
      },
    ],
  });
  expect(await screen.findByText("First charge after trial")).toBeDefined();
  expect(screen.getByText("€19.00 on Dec 1, 2026")).toBeDefined();
  expect(screen.getByText("€49.00 a month"), "the present plan, until the change").toBeDefined();
  expect(screen.getByText("5,000 credits each period")).toBeDefined();
  expect(screen.getByText("Starter from Dec 1, 2026")).toBeDefined();
  expect(screen.getByRole("button", { name: "Manage payment details" })).toBeDefined();
});

test("a member is told that money is not theirs to see, and it is not asked for", async () => {
  const asked: string[] = [];
  const note = (request: Request) => {
    asked.push(request.url);
    return [];
  };
  renderBilling(
    <>
      <PaymentHistory />
      <SubscriptionCard />
    </>,
    { organization_members: member("member"), payments: note, subscriptions: note },
  );
  await waitFor(() => expect(screen.getAllByText("Not visible to your role")).toHaveLength(2));
  expect(asked).toEqual([]);
});

test("payments show their currency's own digits, refunds, disputes and why a card was declined", async () => {
  const payment = {
    kind: "package",
    amount_refunded: 0,
    credits: "500.000000",
    description: "",
    card_brand: "visa",
    card_last4: "4242",
    receipt_url: null,
    failure_code: null,
    failure_message: null,
    disputed: false,
    paid_at: null,
    created_at: "2026-11-23T10:00:00Z",
    checkout_session_id: null,
    stripe_session_id: null,
    stripe_payment_intent_id: "pi_1",
  };
  renderBilling(<PaymentHistory />, {
    payments: () => [
      { ...payment, id: "1", status: "succeeded", amount: 1500, currency: "jpy", disputed: true },
      {
        ...payment,
        id: "2",
        status: "partially_refunded",
        amount: 1000,
        amount_refunded: 250,
        currency: "usd",
        stripe_payment_intent_id: "pi_2",
      },
      {
        ...payment,
        id: "3",
        status: "failed",
        amount: 1000,
        currency: "usd",
        failure_message: "Your card was declined.",
        stripe_payment_intent_id: "pi_3",
      },
    ],
    refunds: () => [
      {
        stripe_refund_id: "re_1",
        stripe_payment_intent_id: "pi_2",
        amount: 250,
        currency: "usd",
        status: "pending",
      },
    ],
    disputes: () => [
      {
        stripe_dispute_id: "du_1",
        stripe_payment_intent_id: "pi_1",
        amount: 1500,
        currency: "jpy",
        status: "needs_response",
      },
    ],
  });
  await screen.findByText("Refund of $2.50: on its way");
  const rows = (await screen.findAllByRole("row")).slice(1).map((row) => row.textContent);
  expect(rows[0]).toContain("Disputed");
  expect(rows[0]).toContain("¥1,500");
  expect(rows[0]).toContain("Dispute over ¥1,500: open");
  expect(rows[0]).not.toContain("Refund of");
  expect(rows[1]).toContain("Partly refunded");
  expect(rows[1]).toContain("$2.50 refunded");
  expect(rows[2]).toContain("Declined: Your card was declined.");
});

test("a checkout that is refused is told in words and can be tried again", async () => {
  const packs = [
    {
      id: "p",
      key: "pack_500",
      name: "500 credits",
      description: "",
      credits: "500.000000",
      unit_amount: 1000,
      currency: "usd",
      credit_expiry: "1 year 6 mons",
    },
  ];
  const fetched = globalThis.fetch;
  globalThis.fetch = async () =>
    refusal(403, { code: "PT403", message: "not_authorized", details: {}, hint: "" });
  try {
    renderBilling(<CreditPackages />, { credit_packages: () => packs });
    expect(await screen.findByText("Expires 1 year, 6 months after purchase")).toBeDefined();
    expect(screen.getByText("$0.02 a credit")).toBeDefined();
    const buy = await screen.findByRole("button", { name: "Buy 500 credits for $10.00" });
    await userEvent.click(buy);
    expect((await screen.findByRole("alert", {}, PATIENCE)).textContent).toContain(
      english.errors.not_authorized,
    );
    expect(buy.hasAttribute("disabled")).toBe(false);
  } finally {
    globalThis.fetch = fetched;
  }
});

test("every text comes from the messages that the host passes", async () => {
  const german: Messages = {
    ...english,
    balance: { ...english.balance, title: "Guthaben", healthy: "Gesund" },
  };
  renderBilling(<CreditBalance />, {}, { messages: german, locale: "de-DE" });
  expect(await screen.findByText("Gesund")).toBeDefined();
  expect(screen.getByRole("region", { name: "Guthaben" })).toBeDefined();
});
