/** The present day, for periods that end with it. */

import { useEffect, useMemo, useState } from "react";

const DAY_MS = 86_400_000;
const CHECK_MS = 60_000;

function startOfUtcDay(instant: number): number {
  return Math.floor(instant / DAY_MS) * DAY_MS;
}

/** The first instant of the present UTC day; changes when the day does, so that a page left open stays right. */
export function useToday(): Date {
  const [today, setToday] = useState(() => startOfUtcDay(Date.now()));
  useEffect(() => {
    const timer = setInterval(() => setToday(startOfUtcDay(Date.now())), CHECK_MS);
    return () => clearInterval(timer);
  }, []);
  return useMemo(() => new Date(today), [today]);
}
