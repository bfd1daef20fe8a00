/**
 * The end of the credential that a request came with, for what the request has going: an upload, a copy, a wait. The
 * check at its beginning says nothing about an hour later. Watched only when somebody asks for the signal.
 */
import type { Identity } from "../auth/identity.ts";
import type { AuthService } from "../auth/service.ts";
import { AppError } from "../lib/errors.ts";

type Watcher = Pick<AuthService, "watchCredential">;

export const credentialEnded = (): AppError =>
	new AppError("unauthenticated", "Your session or token has ended, or its rights have changed. Sign in again.");

/** `close()` when the request is answered. */
export class CredentialEnd {
	readonly #auth: Watcher;
	readonly #identity: Identity | null;
	#controller: AbortController | null = null;
	#endWatch = (): void => {};

	constructor(auth: Watcher, identity: Identity | null) {
		this.#auth = auth;
		this.#identity = identity;
	}

	/** Aborted, with `unauthenticated` as the reason, when the credential ends before the request does. */
	get signal(): AbortSignal {
		if (this.#controller) return this.#controller.signal;
		const controller = new AbortController();
		this.#controller = controller;
		if (this.#identity) {
			const end = () => controller.abort(credentialEnded());
			this.#endWatch = this.#auth.watchCredential(this.#identity, end);
		}
		return controller.signal;
	}

	close(): void {
		this.#endWatch();
	}
}
