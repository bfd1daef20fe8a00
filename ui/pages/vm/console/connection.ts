/**
 * The life of one console: connect, stay, come back. Knows nothing of noVNC or the page: `open` is given, so that the
 * retries are tested without either.
 *
 *   closed → connecting → connected → waiting → connecting …
 *                 ├── waiting (back-off) ── after the last try → failed (lost)
 *                 └── the API says no (no right, no such VM, not running, too many): asking again by itself would
 *                     change nothing → failed (refused)
 */
import { type Signal, signal } from "@preact/signals";
import { type ApiError, toApiError } from "../../../api/errors.ts";

export type ConsoleState =
	| { name: "closed" }
	| { name: "connecting"; attempt: number }
	| { name: "connected"; viewOnly: boolean }
	/** `lost`: it had been open. */
	| { name: "waiting"; attempt: number; untilMs: number; lost: boolean; reason: string }
	| { name: "failed"; why: "refused" | "lost"; reason: string };

/** An open console; `ended` resolves with why when it ends by itself. */
export type OpenConsole = { viewOnly: boolean; ended: Promise<string>; close(): void };

const delaysMs = [500, 1000, 2000, 4000, 8000, 15_000, 30_000, 30_000];
/** A console that stayed this long has come back for good: the next break starts counting anew. */
const settledMs = 10_000;

export class ConsoleConnection {
	readonly state: Signal<ConsoleState> = signal({ name: "closed" });
	private open: OpenConsole | null = null;
	/** Changes with every start and stop; what belongs to an older one is dropped. */
	private turn = 0;
	/** Since `start`, it was open at least once. */
	private wasOpen = false;
	private timer: ReturnType<typeof setTimeout> | null = null;

	constructor(
		private readonly openConsole: () => Promise<OpenConsole>,
		private readonly nowMs: () => number = () => Date.now(),
		private readonly schedule: (run: () => void, ms: number) => ReturnType<typeof setTimeout> = (run, ms) =>
			setTimeout(run, ms),
	) {}

	/** From closed, waiting or failed; the tries start counting anew. */
	start(): void {
		const { name } = this.state.peek();
		if (name === "connecting" || name === "connected") return;
		this.stop();
		this.wasOpen = false;
		void this.attempt(1, this.turn);
	}

	stop(): void {
		this.turn += 1;
		if (this.timer) clearTimeout(this.timer);
		this.timer = null;
		this.open?.close();
		this.open = null;
		this.state.value = { name: "closed" };
	}

	private async attempt(number: number, turn: number): Promise<void> {
		this.state.value = { name: "connecting", attempt: number };
		let open: OpenConsole;
		try {
			open = await this.openConsole();
		} catch (error) {
			if (turn !== this.turn) return;
			const known = toApiError(error);
			if (isFinal(known)) this.state.value = { name: "failed", why: "refused", reason: known.message };
			else this.again(number, known.message, turn);
			return;
		}
		if (turn !== this.turn) {
			open.close();
			return;
		}
		this.open = open;
		this.wasOpen = true;
		this.state.value = { name: "connected", viewOnly: open.viewOnly };
		const since = this.nowMs();
		const reason = await open.ended;
		if (turn !== this.turn) return;
		this.open = null;
		this.again(this.nowMs() - since >= settledMs ? 0 : number, reason, turn);
	}

	private again(failed: number, reason: string, turn: number): void {
		const delay = delaysMs[failed];
		if (delay === undefined) {
			this.state.value = { name: "failed", why: "lost", reason };
			return;
		}
		const [attempt, untilMs, lost] = [failed + 1, this.nowMs() + delay, this.wasOpen];
		this.state.value = { name: "waiting", attempt, untilMs, lost, reason };
		this.timer = this.schedule(() => {
			if (turn === this.turn) void this.attempt(failed + 1, turn);
		}, delay);
	}
}

/** An answer of the API that another try does not change; a node that is away (5xx, none at all) comes back. */
const isFinal = ({ status }: ApiError): boolean => status >= 400 && status < 500 && status !== 408;
