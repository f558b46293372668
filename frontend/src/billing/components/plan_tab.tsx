/** The dashboard's tab about the plan and what pays for it. A chunk of its own: loaded when it is first shown. */

import type { ReactNode } from "react";
import { AutoTopup } from "./auto_topup.js";
import { PaymentMethods } from "./payment_methods.js";
import { PlanActions } from "./plan_actions.js";
import { PlanPicker } from "./plan_picker.js";
import { SubscriptionCard } from "./subscription_card.js";

/** Plan in force, plans on offer, cards, automatic top-up. */
export default function PlanTab(): ReactNode {
  return (
    <div className="grid grid-cols-1 gap-4 lg:grid-cols-2">
      <SubscriptionCard className="lg:col-span-2">
        <PlanActions />
      </SubscriptionCard>
      <PlanPicker className="lg:col-span-2" />
      <PaymentMethods />
      <AutoTopup />
    </div>
  );
}
