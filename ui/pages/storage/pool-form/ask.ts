/** A question to the node that a form asks beside its submit: tries, discovery. An answer is shown while it is one to what stands there. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Answer, type CallOptions, call, type OperationName } from "../../../api/call.ts";
import { type ApiError, toApiError } from "../../../api/errors.ts";

/** A server that hangs is given up on the nodes before that. */
export const probeTimeoutMs = 180_000;

type Asked<A> = { key: string; answer: A | null; error: ApiError | null };
export type Ask<A> = {
	busy: boolean;
	answer: A | null;
	error: ApiError | null;
	run: () => Promise<ApiError | null>;
	/** What was just changed in the form came out of the answer: it stays. */
	keep: () => void;
};

/** `options` null: it cannot be asked yet. */
export function useAsk<Operation extends OperationName>(
	operation: Operation,
	options: CallOptions<Operation> | null,
): Ask<Answer<Operation>> {
	const [asked, setAsked] = useState<Asked<Answer<Operation>> | null>(null);
	const [busy, setBusy] = useState(false);
	const running = useRef<AbortController | null>(null);
	useEffect(() => () => running.current?.abort(), []);
	const key = JSON.stringify(options);
	const kept = useRef(false);
	if (kept.current && asked) asked.key = key;
	useEffect(() => {
		kept.current = false;
	});
	const shown = asked?.key === key ? asked : null;
	return {
		busy,
		answer: shown?.answer ?? null,
		error: shown?.error ?? null,
		keep() {
			kept.current = true;
		},
		async run() {
			if (options === null || busy) return null;
			const controller = new AbortController();
			running.current = controller;
			setBusy(true);
			setAsked(null);
			try {
				const { data } = await call(operation, { ...options, signal: controller.signal, timeoutMs: probeTimeoutMs });
				setAsked({ key, answer: data, error: null });
				return null;
			} catch (failure) {
				const error = toApiError(failure);
				if (!controller.signal.aborted) setAsked({ key, answer: null, error });
				return error;
			} finally {
				if (!controller.signal.aborted) setBusy(false);
			}
		},
	};
}
