/** A modal dialog: focus is kept inside, Escape closes it. */

import { Close, Content, Description, Overlay, Portal, Root, Title } from "@radix-ui/react-dialog";
import type { ReactNode } from "react";
import { useMessages } from "../context.js";
import { Button } from "./button.js";

export interface DialogProps {
  title: string;
  description: string;
  onClose: () => void;
  /** Left out, only the dialog's own buttons close it; for what must not vanish by a stray click. */
  isEasyToClose?: boolean;
  children: ReactNode;
}

/** Shows its content above the page until `onClose` is heeded. */
export function Dialog({
  title,
  description,
  onClose,
  isEasyToClose = true,
  children,
}: DialogProps): ReactNode {
  const messages = useMessages();
  const keepOpen = (event: Event) => {
    if (!isEasyToClose) event.preventDefault();
  };
  return (
    <Root open onOpenChange={(isOpen) => (isOpen ? undefined : onClose())}>
      <Portal>
        <Overlay className="fixed inset-0 z-40 bg-black/45" />
        <Content
          onEscapeKeyDown={keepOpen}
          onPointerDownOutside={keepOpen}
          onInteractOutside={keepOpen}
          className="fixed top-1/2 left-1/2 z-50 max-h-[90dvh] w-[calc(100%-2rem)] max-w-lg -translate-x-1/2 -translate-y-1/2 overflow-y-auto rounded-lg border bg-card p-5 text-foreground shadow-xl"
        >
          <Title className="text-base font-semibold">{title}</Title>
          <Description className="mt-1 text-sm text-muted-foreground">{description}</Description>
          <div className="mt-4">{children}</div>
          {isEasyToClose ? (
            <Close asChild>
              <Button variant="quiet" className="absolute top-3 right-3" aria-label={messages.states.dismiss}>
                <span aria-hidden="true" className="text-lg leading-none">
                  {"×"}
                </span>
              </Button>
            </Close>
          ) : null}
        </Content>
      </Portal>
    </Root>
  );
}
