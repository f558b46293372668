/** The dialog that removes a member, or lets the person leave. */

import type { ReactNode } from "react";
import { BillingError, describeError, useBilling } from "../billing/index.js";
import { Button } from "../billing/ui/button.js";
import { Dialog } from "../billing/ui/dialog.js";
import { Notice } from "../billing/ui/feedback.js";
import { texts } from "./messages.js";
import { useEndMembership } from "./people.js";

/** Asks once more. */
export function EndMembership({ whom, onClose }: { whom: string; onClose: () => void }): ReactNode {
  const { messages, userId } = useBilling();
  const end = useEndMembership();
  const isLeaving = whom === userId;
  const isLastOwner = end.error instanceof BillingError && end.error.text("what") === "last_owner";
  return (
    <Dialog
      title={isLeaving ? texts.people.leaveTitle : texts.people.removeTitle}
      description={isLeaving ? texts.people.leaveNote : texts.people.removeNote(whom)}
      onClose={onClose}
    >
      {end.error === null ? null : (
        <Notice tone="danger" isAlert>
          {isLastOwner ? texts.people.lastOwner : describeError(end.error, messages)}
        </Notice>
      )}
      <div className="mt-4 flex justify-end">
        <Button
          variant="danger"
          disabled={end.isPending}
          onClick={() => end.mutate(whom, { onSuccess: onClose })}
        >
          {isLeaving ? texts.people.leave : texts.people.remove}
        </Button>
      </div>
    </Dialog>
  );
}
