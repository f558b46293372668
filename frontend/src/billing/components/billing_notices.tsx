/** What somebody has to do about billing, before anything else on the page: pay, decide, confirm. */

import type { ReactNode } from "react";
import { useBilling, useFormat, useMessages } from "../context.js";
import { describeError } from "../errors.js";
import { usePendingApprovals } from "../queries/approvals.js";
import { useRights } from "../queries/membership.js";
import { useInvoices, useSubscription } from "../queries/money.js";
import { useConfirmTopup, useTopupAttempts } from "../queries/topup.js";
import { Button, ButtonLink } from "../ui/button.js";
import { Notice } from "../ui/feedback.js";
import { PortalButton } from "./subscription_card.js";

const UNPAID: ReadonlySet<string> = new Set(["past_due", "unpaid"]);

export interface BillingNoticesProps {
  /** Leads to where spends are decided on. */
  onShowApprovals: () => void;
}

/** Nothing at all while there is nothing to do for this person. */
export function BillingNotices({ onShowApprovals }: BillingNoticesProps): ReactNode {
  const rights = useRights();
  return (
    <>
      {rights.data?.canBuy === true ? <PastDue /> : null}
      {rights.data?.canBuy === true ? <TopupToConfirm /> : null}
      {rights.data?.canApprove === true ? <WaitingApprovals onShow={onShowApprovals} /> : null}
    </>
  );
}

/** A failed charge of the plan, with the way to pay it. */
function PastDue(): ReactNode {
  const { plans: texts } = useMessages();
  const subscription = useSubscription();
  const invoices = useInvoices();
  const { data } = subscription;
  if (data == null || !UNPAID.has(data.status)) return null;
  const open = invoices.data?.find((row) => row.status === "open" && row.hosted_invoice_url !== null);
  return (
    <Notice
      tone="danger"
      title={texts.pastDueTitle}
      actions={
        <>
          {open?.hosted_invoice_url == null ? null : (
            <ButtonLink variant="primary" href={open.hosted_invoice_url} target="_blank" rel="noreferrer">
              {texts.payNow}
            </ButtonLink>
          )}
          <PortalButton isForCards />
        </>
      }
    >
      {texts.pastDueNote}
    </Notice>
  );
}

/** A top-up whose payment the bank wants confirmed. */
function TopupToConfirm(): ReactNode {
  const messages = useMessages();
  const { loadStripe } = useBilling();
  const attempts = useTopupAttempts(1);
  const confirm = useConfirmTopup();
  if (attempts.data?.[0]?.status !== "needs_action") return null;
  return (
    <Notice
      tone="warning"
      title={messages.topup.needsActionTitle}
      actions={
        loadStripe === undefined ? undefined : (
          <Button variant="primary" disabled={confirm.isPending} onClick={() => confirm.mutate()}>
            {confirm.isPending ? messages.topup.confirming : messages.topup.confirm}
          </Button>
        )
      }
    >
      <p>{messages.topup.needsActionNote}</p>
      {loadStripe === undefined ? <p>{messages.topup.needsActionByHand}</p> : null}
      {confirm.error === null ? null : (
        <p role="alert" className="font-medium">
          {describeError(confirm.error, messages)}
        </p>
      )}
    </Notice>
  );
}

function WaitingApprovals({ onShow }: { onShow: () => void }): ReactNode {
  const { approvals: texts } = useMessages();
  const format = useFormat();
  const { data } = usePendingApprovals();
  if (data === undefined || data.length === 0) return null;
  return (
    <Notice
      tone="warning"
      title={texts.pendingTitle(format.count(data.length), data.length === 1)}
      actions={<Button onClick={onShow}>{texts.review}</Button>}
    >
      {texts.pendingNote}
    </Notice>
  );
}
