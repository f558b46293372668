/** `PaymentForm`: a pack is paid on this page, in Stripe's Payment Element. A chunk of its own: loaded when somebody chooses so. */

import {
  CheckoutElementsProvider,
  PaymentElement,
  useCheckoutElements,
} from "@stripe/react-stripe-js/checkout";
import { type FormEvent, type ReactNode, useMemo, useState } from "react";
import { type LoadStripe, useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import type { CreditPackageRow } from "../queries/catalogue.js";
import { usePaymentForm } from "../queries/checkout.js";
import { Button } from "../ui/button.js";
import { Card } from "../ui/card.js";
import { Notice, Skeleton } from "../ui/feedback.js";
import { CheckoutReturn } from "./checkout_return.js";
import { BillingPlace, PromotionCode } from "./payment_extras.js";
import { useStripeAppearance } from "./stripe_appearance.js";

const FORM_LINES = 5;

export interface PaymentFormProps {
  pack: CreditPackageRow;
  loadStripe: LoadStripe;
  /** Leads back to the packs. */
  onClose: () => void;
}

/** The form, and after the payment what came of it. */
export default function PaymentForm({ pack, loadStripe, onClose }: PaymentFormProps): ReactNode {
  const messages = useMessages();
  const { payment: texts } = messages;
  const opened = usePaymentForm(pack.id);
  const [isPaid, setIsPaid] = useState(false);
  if (opened.data !== undefined && isPaid) {
    return <CheckoutReturn sessionId={opened.data.sessionId} onBack={onClose} />;
  }
  return (
    <Card title={texts.title(pack.name)} note={texts.secure} className="mx-auto max-w-xl">
      {opened.error === null ? null : (
        <Failure
          title={messages.packages.failedTitle}
          onClose={onClose}
          onRetry={() => void opened.refetch()}
        >
          {describeError(opened.error, messages)}
        </Failure>
      )}
      {opened.data === undefined ? (
        opened.error === null && <Skeleton lines={FORM_LINES} label={messages.states.loading} />
      ) : (
        <Checkout
          clientSecret={opened.data.clientSecret}
          takesPromotionCodes={opened.data.takesPromotionCodes}
          pack={pack}
          loadStripe={loadStripe}
          onClose={onClose}
          onPaid={() => setIsPaid(true)}
        />
      )}
    </Card>
  );
}

interface CheckoutProps extends PaymentFormProps {
  clientSecret: string;
  takesPromotionCodes: boolean;
  onPaid: () => void;
}

function Checkout({ clientSecret, loadStripe, ...rest }: CheckoutProps): ReactNode {
  const [stripe] = useState(loadStripe);
  const appearance = useStripeAppearance();
  const options = useMemo(
    () => ({ clientSecret, elementsOptions: { appearance, loader: "never" as const } }),
    [clientSecret, appearance],
  );
  return (
    <CheckoutElementsProvider stripe={stripe} options={options}>
      <Form {...rest} />
    </CheckoutElementsProvider>
  );
}

function Form({
  pack,
  takesPromotionCodes,
  onClose,
  onPaid,
}: Omit<CheckoutProps, "clientSecret" | "loadStripe">): ReactNode {
  const messages = useMessages();
  const { payment: texts } = messages;
  const format = useFormat();
  const result = useCheckoutElements();
  const [isReady, setIsReady] = useState(false);
  const [isPaying, setIsPaying] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  if (result.type === "error") {
    return (
      <Failure title={texts.unreachableTitle} onClose={onClose}>
        {texts.unreachableNote}
      </Failure>
    );
  }
  const checkout = result.type === "success" ? result.checkout : null;
  const price = checkout?.total.total.amount ?? format.money(pack.unit_amount, pack.currency);
  const pay = async (event: FormEvent) => {
    event.preventDefault();
    if (checkout === null || isPaying) return;
    setIsPaying(true);
    setProblem(null);
    const outcome = await checkout.confirm({ redirect: "if_required" });
    if (outcome.type === "success") onPaid();
    else setProblem(outcome.error.message);
    setIsPaying(false);
  };
  return (
    <form className="space-y-4" aria-busy={isPaying} onSubmit={(event) => void pay(event)}>
      <dl className="flex flex-wrap items-baseline justify-between gap-x-4 border-b pb-3 text-sm">
        <dt>{pack.name}</dt>
        <dd className="text-lg font-semibold tabular-nums">{price}</dd>
        {(checkout?.total.taxExclusive.minorUnitsAmount ?? 0) > 0 ? (
          <dd className="basis-full text-right text-xs text-muted-foreground">
            {texts.tax(checkout?.total.taxExclusive.amount ?? "")}
          </dd>
        ) : null}
      </dl>
      {problem === null ? null : (
        <Notice tone="danger" isAlert title={texts.failedTitle}>
          {problem} {texts.retryNote}
        </Notice>
      )}
      {checkout === null ? null : (
        <>
          {takesPromotionCodes ? <PromotionCode checkout={checkout} /> : null}
          <BillingPlace checkout={checkout} />
        </>
      )}
      {isReady ? null : <Skeleton lines={FORM_LINES} label={messages.states.loading} />}
      <div className={isReady ? "" : "h-0 overflow-hidden"}>
        <PaymentElement options={{ layout: "accordion" }} onReady={() => setIsReady(true)} />
      </div>
      <div className="flex flex-wrap gap-2">
        <Button
          type="submit"
          variant="primary"
          className="min-w-40 flex-1"
          disabled={checkout === null || checkout.tax.status !== "ready" || !isReady || isPaying}
        >
          {isPaying ? texts.paying : texts.pay(price)}
        </Button>
        <Button disabled={isPaying} onClick={onClose}>
          {texts.otherPack}
        </Button>
      </div>
    </form>
  );
}

interface FailureProps {
  title: string;
  onClose: () => void;
  onRetry?: () => void;
  children: ReactNode;
}

function Failure({ title, onClose, onRetry, children }: FailureProps): ReactNode {
  const { payment: texts, states } = useMessages();
  return (
    <Notice
      tone="danger"
      isAlert
      title={title}
      actions={
        <>
          {onRetry === undefined ? null : <Button onClick={onRetry}>{states.retry}</Button>}
          <Button onClick={onClose}>{texts.otherPack}</Button>
        </>
      }
    >
      {children}
    </Notice>
  );
}
