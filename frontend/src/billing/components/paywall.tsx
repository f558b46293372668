/** `Paywall`: says that credits are missing, why, and offers the packs to those who may buy. */

import type { ReactNode } from "react";
import { useFormat, useMessages } from "../context.js";
import { labelOf } from "../labels.js";
import { useRights } from "../queries/membership.js";
import { Card } from "../ui/card.js";
import { Notice } from "../ui/feedback.js";
import { PackageList, PayHere, type Purchase, usePurchase } from "./credit_packages.js";
import type { PaywallFacts } from "./paywall_facts.js";

export interface PaywallProps {
  facts: PaywallFacts;
  /** A purchase that is kept further up, for it ends the paywall; one of its own when left out. */
  purchase?: Purchase | undefined;
  className?: string;
}

/** The paywall for one set of facts; see `paywallOfRefusal` and `paywallOfBalance`. */
export function Paywall({ facts, purchase, className = "" }: PaywallProps): ReactNode {
  const messages = useMessages();
  const own = usePurchase();
  const rights = useRights();
  const { title, note } = usePaywallText(facts);
  const isForSale = facts.kind !== "limit" && facts.kind !== "approval";
  const canBuy = rights.data?.canBuy ?? false;
  const isDown = facts.kind === "zero";
  if (own.paying !== null) return <PayHere pack={own.paying} onClose={own.close} className={className} />;
  return (
    <Card title={title} className={`${isDown ? "border-danger" : "border-warning"} ${className}`}>
      <div className="space-y-4" data-testid="paywall">
        <Notice tone={isDown ? "danger" : "warning"} isAlert>
          {note}
        </Notice>
        {!isForSale ? null : canBuy ? (
          <PackageList purchase={purchase ?? own} />
        ) : (
          <Notice tone="neutral" title={messages.paywall.askTitle}>
            {messages.paywall.askNote}
          </Notice>
        )}
      </div>
    </Card>
  );
}

function usePaywallText(facts: PaywallFacts): { title: string; note: string } {
  const { paywall } = useMessages();
  const format = useFormat();
  switch (facts.kind) {
    case "zero":
      return { title: paywall.zeroTitle, note: paywall.zeroNote };
    case "asked":
      return { title: paywall.askedTitle, note: paywall.askedNote(format.credits(facts.available)) };
    case "short":
      return {
        title: paywall.shortTitle,
        note: paywall.shortNote(format.credits(facts.available), format.credits(facts.cheapest)),
      };
    case "refused":
      return {
        title: paywall.refusedTitle,
        note: [
          paywall.refusedNote(format.credits(facts.required), format.credits(facts.available)),
          paywall.shortfall(format.credits(facts.shortfall)),
        ].join(" "),
      };
    case "limit": {
      const subject = labelOf(paywall.limitSubjects, facts.subjectType);
      const note = paywall.limitNote(subject, format.credits(facts.used), format.credits(facts.limit));
      const resets = facts.resetsAt === null ? [] : [paywall.limitResets(format.dateTime(facts.resetsAt))];
      return { title: paywall.limitTitle, note: [note, ...resets].join(" ") };
    }
    case "approval":
      return { title: paywall.approvalTitle, note: paywall.approvalNote };
  }
}
