// What the hosted edge runtime has and plain Deno lacks. Preloaded before each function.
const pending = new Set<Promise<unknown>>();

Object.assign(globalThis, {
  EdgeRuntime: {
    // Keeps work that outlives the response; here the process lives on anyway, so only errors need care.
    waitUntil<T>(work: Promise<T>): Promise<T> {
      pending.add(work);
      work.catch((error) => console.error(error)).finally(() => pending.delete(work));
      return work;
    },
  },
});
