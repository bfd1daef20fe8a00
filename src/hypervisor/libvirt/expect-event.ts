/** Waiting for libvirt to say something, with a limit. Listening begins at once, so that nothing is missed. */
import type { Clock } from "../../lib/clock.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import type { LibvirtDomainEvent } from "./rpc/events.ts";

export type Expectation<T> = {
	/** What `match` gave; null when the limit was reached or it was canceled. */
	readonly result: Promise<T | null>;
	cancel(): void;
};

export function expectEvent<T>(
	client: LibvirtClient,
	clock: Clock,
	limitMs: number,
	match: (event: LibvirtDomainEvent) => T | null,
): Expectation<T> {
	const { promise, resolve } = Promise.withResolvers<T | null>();
	const finish = (value: T | null) => {
		timer.cancel();
		stop();
		resolve(value);
	};
	const stop = client.onDomainEvent((event) => {
		const value = match(event);
		if (value !== null) finish(value);
	});
	const timer = clock.schedule(limitMs, () => finish(null));
	return { result: promise, cancel: () => finish(null) };
}
