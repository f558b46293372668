/** `CheckoutReturn`: what came of a checkout, told from our own rows; no balance is shown that the ledger does not have. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { useCreditBalance } from "../queries/balance.js";
import { useFinishSetup } from "../queries/cards.js";
import { type CheckoutState, useCheckoutStatus } from "../queries/checkout.js";
import { Button, ButtonLink } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Notice, Skeleton, type Tone } from "../ui/feedback.js";
import { QueryState } from "../ui/query_state.js";

export interface CheckoutReturnProps {
  /** Stripe's session id from the address; null when the person left the checkout without paying. */
  sessionId: string | null;
  /** The checkout was to save a card (`setup=1` in the address), not to buy. */
  isSetup?: boolean;
  /** Leads back to the dashboard. */
  onBack: () => void;
}

/** The page after Stripe's page. */
export function CheckoutReturn({ sessionId, isSetup = false, onBack }: CheckoutReturnProps): ReactNode {
  const { checkout } = useMessages();
  if (sessionId !== null && isSetup) return <SavedCard sessionId={sessionId} onBack={onBack} />;
  if (sessionId !== null) return <FollowedCheckout sessionId={sessionId} onBack={onBack} />;
  return (
    <Outcome tone="neutral" title={checkout.canceledTitle} note={checkout.canceledNote}>
      <Button variant="primary" onClick={onBack}>
        {checkout.again}
      </Button>
    </Outcome>
  );
}

/** A card was saved on Stripe's page; here it becomes the default. */
function SavedCard({ sessionId, onBack }: { sessionId: string; onBack: () => void }): ReactNode {
  const messages = useMessages();
  const { cards } = messages;
  const setup = useFinishSetup(sessionId);
  const back = (
    <Button variant="primary" onClick={onBack}>
      {messages.checkout.back}
    </Button>
  );
  if (setup.error !== null) {
    return (
      <Outcome tone="danger" title={cards.failedTitle} note={describeError(setup.error, messages)}>
        {back}
      </Outcome>
    );
  }
  if (setup.data === undefined) {
    return (
      <Card title={cards.savingTitle} className="mx-auto max-w-xl">
        <Skeleton lines={2} label={messages.states.loading} />
      </Card>
    );
  }
  const { brand, last4 } = setup.data;
  const name = brand === null || last4 === null ? cards.method : cards.name(capitalize(brand), last4);
  return (
    <Outcome tone="success" title={cards.savedTitle} note={cards.savedNote(name)}>
      {back}
    </Outcome>
  );
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function FollowedCheckout({ sessionId, onBack }: { sessionId: string; onBack: () => void }): ReactNode {
  const messages = useMessages();
  const { rows, state, isSlow } = useCheckoutStatus(sessionId);
  if (state === undefined || rows.data === undefined) {
    return (
      <Card title={messages.checkout.processingTitle}>
        <QueryState query={rows} skeletonLines={3}>
          {() => <Skeleton lines={3} label={messages.states.loading} />}
        </QueryState>
      </Card>
    );
  }
  const { payment, checkout } = rows.data;
  if (state === "succeeded") {
    return (
      <Succeeded
        credits={payment?.credits ?? null}
        payment={payment}
        isPlan={checkout?.mode !== "payment"}
        onBack={onBack}
      />
    );
  }
  return (
    <Unsettled state={state} isSlow={isSlow} reason={payment?.failure_message ?? null}>
      {state === "open" && checkout?.url != null ? (
        <ButtonLink variant="primary" href={checkout.url}>
          {messages.checkout.resume}
        </ButtonLink>
      ) : null}
      {state === "open" || state === "processing" || state === "pending" ? (
        <Button onClick={() => void rows.refetch()}>{messages.checkout.checkAgain}</Button>
      ) : null}
      <Button variant={state === "open" || state === "processing" ? "secondary" : "primary"} onClick={onBack}>
        {messages.checkout.back}
      </Button>
    </Unsettled>
  );
}

interface SucceededProps {
  credits: string | null;
  payment: { readonly amount: number; readonly currency: string; readonly receipt_url: string | null } | null;
  isPlan: boolean;
  onBack: () => void;
}

function Succeeded({ credits, payment, isPlan, onBack }: SucceededProps): ReactNode {
  const { checkout } = useMessages();
  const format = useFormat();
  const balance = useCreditBalance();
  const note =
    isPlan || credits === null ? checkout.succeededPlanNote : checkout.succeededNote(format.credits(credits));
  return (
    <Outcome tone="success" title={checkout.succeededTitle} note={note}>
      <div className="mb-2 basis-full space-y-1 text-sm">
        {payment === null ? null : <p>{checkout.paid(format.money(payment.amount, payment.currency))}</p>}
        {balance.data === undefined ? null : (
          <p data-testid="balance-after-purchase">
            {checkout.newBalance(format.credits(balance.data.available))}
          </p>
        )}
      </div>
      <Button variant="primary" onClick={onBack}>
        {checkout.back}
      </Button>
      {payment?.receipt_url == null ? null : (
        <ButtonLink href={payment.receipt_url} target="_blank" rel="noreferrer">
          {checkout.receipt}
        </ButtonLink>
      )}
    </Outcome>
  );
}

interface UnsettledProps {
  state: Exclude<CheckoutState, "succeeded">;
  isSlow: boolean;
  reason: string | null;
  children: ReactNode;
}

function Unsettled({ state, isSlow, reason, children }: UnsettledProps): ReactNode {
  const { checkout } = useMessages();
  const texts: Readonly<Record<UnsettledProps["state"], { tone: Tone; title: string; note: string }>> = {
    processing: {
      tone: "neutral",
      title: checkout.processingTitle,
      note: isSlow ? checkout.slowNote : checkout.processingNote,
    },
    open: { tone: "warning", title: checkout.openTitle, note: checkout.openNote },
    pending: { tone: "neutral", title: checkout.pendingTitle, note: checkout.pendingNote },
    failed: { tone: "danger", title: checkout.failedTitle, note: reason ?? checkout.failedNote },
    expired: { tone: "warning", title: checkout.expiredTitle, note: checkout.expiredNote },
    unknown: { tone: "warning", title: checkout.unknownTitle, note: checkout.unknownNote },
  };
  return <Outcome {...texts[state]}>{children}</Outcome>;
}

interface OutcomeProps {
  tone: Tone;
  title: string;
  note: string;
  children: ReactNode;
}

function Outcome({ tone, title, note, children }: OutcomeProps): ReactNode {
  return (
    <Card title={title} className="mx-auto max-w-xl">
      <div className="space-y-4" data-testid="checkout-outcome">
        <Notice tone={tone}>{note}</Notice>
        <div className="flex flex-wrap gap-2">{children}</div>
      </div>
    </Card>
  );
}
