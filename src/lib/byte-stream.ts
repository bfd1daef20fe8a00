/** Bytes both ways, each with back-pressure and an end of its own. What links of nodes carry (peer/stream.ts) is one. */
import type { AppError } from "./errors.ts";

export type ByteStream = {
	/** One at a time. Null after the other side's end; rejects with the error of an abort. */
	read(): Promise<Uint8Array | null>;
	/** One at a time. Resolves when all of it is on its way. */
	write(data: Uint8Array): Promise<void>;
	/** Ends this direction. */
	end(): void;
	/** Ends both; the other side's reads and writes fail with the error. */
	abort(error: AppError): void;
};
