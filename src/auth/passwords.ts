/**
 * Passwords: argon2id (RFC 9106) by Bun. Hashing takes 19 MiB and tens of milliseconds, so at most two run at once and
 * a few wait; more are refused with `too-many-requests`, before they cost anything.
 */
import { AppError } from "../lib/errors.ts";

/** OWASP's minimum for argon2id is 19 MiB and two passes; three are ours. */
const argon2id = { algorithm: "argon2id", memoryCost: 19_456, timeCost: 3 } as const;

const maxRunning = 2;
const maxWaiting = 16;

export interface PasswordHasher {
	hash(password: string): Promise<string>;
	/** `hash` null (no such user) takes the same time and is false. */
	verify(password: string, hash: string | null): Promise<boolean>;
	/** How many are hashed now, and how many wait. */
	load(): { running: number; waiting: number };
}

export function createPasswordHasher(parameters: { memoryCost: number; timeCost: number } = argon2id): PasswordHasher {
	const options = { algorithm: "argon2id", ...parameters } as const;
	let running = 0;
	const waiting: (() => void)[] = [];
	let decoy: Promise<string> | null = null;

	async function inTurn<T>(work: () => Promise<T>): Promise<T> {
		if (running >= maxRunning) {
			if (waiting.length >= maxWaiting)
				throw new AppError("too-many-requests", "Too many sign-ins at once.", { retryAfterMs: 1000 });
			await new Promise<void>((resolve) => waiting.push(resolve));
		} else running += 1;
		try {
			return await work();
		} finally {
			// The place goes on to the next in line, or becomes free.
			const next = waiting.shift();
			if (next) next();
			else running -= 1;
		}
	}

	const hash = (password: string) => inTurn(() => Bun.password.hash(password, options));
	const decoyHash = (): Promise<string> => {
		decoy ??= Bun.password.hash("nobody has this password", options);
		return decoy;
	};
	return {
		hash,
		verify: (password, stored) =>
			inTurn(async () => {
				const matches = await Bun.password.verify(password, stored ?? (await decoyHash()), "argon2id");
				return matches && stored !== null;
			}),
		load: () => ({ running, waiting: waiting.length }),
	};
}
