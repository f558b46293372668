/** Tabs whose choice the caller holds, so that it can live in an address. */

import { Content, List, Root, Trigger } from "@radix-ui/react-tabs";
import type { ReactNode } from "react";

export interface TabsProps {
  label: string;
  value: string;
  onValueChange: (value: string) => void;
  tabs: readonly { readonly value: string; readonly label: string; readonly content: ReactNode }[];
  /** Stands at the right of the tabs. */
  aside?: ReactNode;
}

/** Tabs with their panels; only the chosen panel is rendered. */
export function Tabs({ label, value, onValueChange, tabs, aside }: TabsProps): ReactNode {
  return (
    <Root value={value} onValueChange={onValueChange}>
      <div className="flex flex-wrap items-end justify-between gap-x-4 border-b">
        <List aria-label={label} className="-mb-px flex flex-wrap gap-x-1">
          {tabs.map((tab) => (
            <Trigger
              key={tab.value}
              value={tab.value}
              className="border-b-2 border-transparent px-3 py-2 text-sm font-medium text-muted-foreground hover:text-foreground data-[state=active]:border-primary data-[state=active]:text-foreground"
            >
              {tab.label}
            </Trigger>
          ))}
        </List>
        {aside === undefined ? null : <div className="py-2">{aside}</div>}
      </div>
      {tabs.map((tab) => (
        <Content key={tab.value} value={tab.value} className="pt-5 focus-visible:outline-offset-4">
          {tab.value === value ? tab.content : null}
        </Content>
      ))}
    </Root>
  );
}
