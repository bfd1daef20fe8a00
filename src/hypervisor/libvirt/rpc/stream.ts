/** A byte stream over libvirt's RPC: a screenshot coming down, or a console both ways. */

export interface ByteStream {
	/** Bytes from libvirt, in order. Nothing more is read from the socket while they are not taken. Cancel it to abort. */
	readonly readable: ReadableStream<Uint8Array>;
	/** Sends bytes; resolves when they are on their way, so that a caller who awaits it cannot run ahead of libvirt. */
	write(data: Uint8Array): Promise<void>;
	/** Ends the stream in good order and waits for libvirt's confirmation. */
	finish(): Promise<void>;
	/** Ends it at once, whatever is still under way. May be called at any time and again. */
	abort(): void;
	/** Everything up to the end, at most `maxBytes`; more is an error and aborts. */
	collect(maxBytes: number): Promise<Uint8Array>;
}
