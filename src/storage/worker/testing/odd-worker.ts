/**
 * A worker that takes long, and one that dies. "work": answers once it has been asked for so many signs of life, and gives those. "inspectHostFile":
 * ends this process when the file's name says so.
 */
import { encodeFrame, FrameReader, protocolVersion, type Reply, type Request } from "../frames.ts";

const send = (head: Reply) => void process.stdout.write(encodeFrame(head));
const result = (id: number, value: unknown) => send({ kind: "result", id, value });

let signs = 0;
const works: { id: number; afterSigns: number }[] = [];
const reader = new FrameReader<Request>();
send({ kind: "hello", version: protocolVersion });
for await (const piece of Bun.stdin.stream())
	for (const { head } of reader.push(piece)) {
		if (head.kind !== "call") continue;
		const { id, method, args } = head;
		if (method === "work") works.push({ id, afterSigns: Number(args[0]) });
		else if (method === "check") {
			signs += 1;
			result(id, null);
			for (const work of works) if (work.afterSigns === signs) result(work.id, signs);
		} else if (method === "inspectHostFile") {
			const { path } = args[0] as { path: string };
			if (path.includes("deadly")) process.exit(3);
			result(id, { realPath: path, device: "1", inode: "2", diskBytes: 512 });
		} else result(id, null);
	}
