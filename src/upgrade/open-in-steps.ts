/** Opening what takes several steps: a step that fails must leave nothing open, and nothing locked, of those before it. */

type Step = () => void | Promise<void>;

/** To be called for each thing that was opened, with what closes it. */
export type Defer = (step: Step) => void;

/** What `open` opened; `close` undoes its steps, the last first, and does nothing a second time. */
export async function openInSteps<T extends object>(
  open: (defer: Defer) => Promise<T>,
): Promise<T & { close(): Promise<void> }> {
  const undo: Step[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return { ...(await open((step) => void undo.push(step))), close };
  } catch (error) {
    await close();
    throw error;
  }
}
