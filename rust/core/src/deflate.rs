//! Arrays of 32-bit numbers as HDF5's shuffle and deflate filters store them.
//!
//! The shuffle filter puts all first bytes of the numbers together, then all second ones, and so on. In
//! counts of cells and in positions of genes these planes have no repeats worth a search, which is what
//! takes the time of deflate: some are like noise, some have few values, some long runs of one value. So each
//! piece of a plane is stored, or written with codes for its bytes, or for its runs, whichever is smaller
//! (RFC 1950, RFC 1951). Any inflate reads it. No library was found that leaves the search out and is as fast:
//! zlib's strategies for bytes and for runs take three times as long.

/// Numbers that are looked at together; what is made of them stays in the cache.
const PIECE: usize = 1 << 15;
/// What codes do not make smaller than this share is stored: it costs its reader less.
const NOISE: f64 = 0.95;
/// Symbols for lengths, and the one that ends a block.
const END: usize = 256;
const SYMBOLS: usize = 286;
/// The format allows 15; four of these are written at a time.
const LONGEST_CODE: usize = 12;
const LONGEST_RUN: usize = 258;
/// The modulus of Adler-32.
const ADLER: u64 = 65_521;

/// A zlib stream of `numbers`, shuffled: first all lowest bytes, in the end all highest ones.
pub fn shuffle_deflate(numbers: &[u32]) -> Vec<u8> {
    // Bits that any number of a piece has: most planes of most pieces are nothing but zeros.
    let bits: Vec<u32> = numbers.chunks(PIECE).map(|piece| piece.iter().fold(0, |all, x| all | x)).collect();
    let mut out = Stream::new();
    let mut plane = [0_u8; PIECE];
    for shift in [0, 8, 16, 24] {
        let mut zeros = 0;
        for (piece, bits) in numbers.chunks(PIECE).zip(&bits) {
            if (bits >> shift) as u8 == 0 {
                zeros += piece.len();
                continue;
            }
            out.zeros(std::mem::take(&mut zeros));
            let plane = &mut plane[..piece.len()];
            for (byte, x) in plane.iter_mut().zip(piece) {
                *byte = (x >> shift) as u8;
            }
            out.piece(plane);
        }
        out.zeros(zeros);
    }
    out.finish()
}

/// `plane` as runs of one byte, with their lengths.
fn runs(plane: &[u8], mut each: impl FnMut(u8, usize)) {
    let mut rest = plane;
    while let Some((&byte, after)) = rest.split_first() {
        let more = equal(after, byte);
        each(byte, 1 + more);
        rest = &after[more..];
    }
}

/// The symbols of a run of `n` times `byte`, with extra bits and their number: the byte itself, then, where
/// it comes again three times or more, how often (the distance is 1, always).
fn symbols(byte: u8, n: usize, mut each: impl FnMut(usize, Option<(u64, u32)>)) {
    let byte = byte as usize;
    each(byte, None);
    let mut left = n - 1;
    while left >= 3 {
        let run = left.min(LONGEST_RUN);
        let (symbol, extra, n_extra) = length_symbol(run);
        each(symbol, Some((extra, n_extra)));
        left -= run;
    }
    (0..left).for_each(|_| each(byte, None));
}

/// How many bytes at the start are `byte`.
fn equal(bytes: &[u8], byte: u8) -> usize {
    let same = [byte; 32];
    let whole = bytes.chunks_exact(32).take_while(|chunk| *chunk == same).count() * 32;
    whole + bytes[whole..].iter().take_while(|&&b| b == byte).count()
}

/// Symbol, extra bits and their number of a run of 3 to 258 (RFC 1951, section 3.2.5).
fn length_symbol(run: usize) -> (usize, u64, u32) {
    let above = run - 3;
    match above {
        0..8 => (257 + above, 0, 0),
        255 => (285, 0, 0),
        _ => {
            let extra = above.ilog2() - 2;
            let low = above & ((1 << extra) - 1);
            (257 + 4 * extra as usize + (above >> extra), low as u64, extra)
        }
    }
}

/// A code, with its bits in the order in which they are written.
#[derive(Clone, Copy, Default)]
struct Code {
    bits: u64,
    length: u32,
}

impl Code {
    /// This one, and `next` behind it.
    fn then(self, next: Self) -> Self {
        Self { bits: self.bits | next.bits << self.length, length: self.length + next.length }
    }
}

/// What has been written.
struct Stream {
    bytes: Vec<u8>,
    /// Bits that do not fill a byte yet, and how many these are.
    bits: u64,
    n_bits: u32,
    /// The two sums of Adler-32.
    sums: (u64, u64),
}

impl Stream {
    fn new() -> Self {
        Self { bytes: vec![0x78, 0x01], bits: 0, n_bits: 0, sums: (1, 0) }
    }

    /// Appends up to 48 bits.
    fn put(&mut self, bits: u64, n: u32) {
        self.bits |= bits << self.n_bits;
        self.n_bits += n;
        while self.n_bits >= 8 {
            self.bytes.push(self.bits as u8);
            self.bits >>= 8;
            self.n_bits -= 8;
        }
    }

    fn align(&mut self) {
        if self.n_bits > 0 {
            self.put(0, 8 - self.n_bits);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.put(0b011, 3); // a last block, of fixed codes,
        self.put(0, 7); // and its end
        self.align();
        let (a, b) = self.sums;
        self.bytes.extend((((b as u32) << 16) | a as u32).to_be_bytes());
        self.bytes
    }

    /// Appends a piece of a plane in the way that suits it.
    fn piece(&mut self, plane: &[u8]) {
        self.sum(plane);
        if 2 * repeats(plane) > plane.len() {
            return self.block_of_runs(|each| runs(plane, each));
        }
        let mut counts = [0_u32; SYMBOLS];
        let (sample, rest) = plane.split_at(plane.len() / 8);
        count(sample, &mut counts);
        if sample.len() > 2_000 && is_noise(&counts, sample.len()) {
            return self.stored(plane);
        }
        count(rest, &mut counts);
        if is_noise(&counts, plane.len()) {
            return self.stored(plane);
        }
        counts[END] = 1;
        let codes = self.begin(&counts);
        self.literals(plane, &codes);
        self.code(codes[END]);
    }

    /// Appends `n` zeros.
    fn zeros(&mut self, n: usize) {
        if n > 0 {
            self.sums.1 = (self.sums.1 + n as u64 * self.sums.0) % ADLER;
            self.block_of_runs(|each| each(0, n));
        }
    }

    /// A block of what `list` tells: bytes, and how often each comes in a row.
    fn block_of_runs(&mut self, list: impl Fn(&mut dyn FnMut(u8, usize))) {
        let mut counts = [0_u32; SYMBOLS];
        counts[END] = 1;
        list(&mut |byte, n| symbols(byte, n, |symbol, _| counts[symbol] += 1));
        let codes = self.begin(&counts);
        list(&mut |byte, n| {
            symbols(byte, n, |symbol, extra| {
                self.code(codes[symbol]);
                if let Some((bits, n)) = extra {
                    self.put(bits, n + 1); // the bit above is the code of the distance
                }
            });
        });
        self.code(codes[END]);
    }

    fn code(&mut self, code: Code) {
        self.put(code.bits, code.length);
    }

    /// The head of a block with codes of its own (RFC 1951, section 3.2.7), and these.
    fn begin(&mut self, counts: &[u32; SYMBOLS]) -> [Code; SYMBOLS] {
        let lengths = code_lengths(counts);
        let used = lengths.iter().rposition(|&l| l > 0).unwrap_or(END) + 1;
        self.put(0b100, 3);
        self.put(used as u64 - 257, 5);
        self.put(0, 5); // one distance: the byte before
        self.put(15, 4); // lengths of codes are written as they are, in 4 bits each
        for _ in 0..3 {
            self.put(0, 3);
        }
        for _ in 0..16 {
            self.put(4, 3);
        }
        for length in lengths[..used].iter().chain(&[1]) {
            self.put(u64::from(length.reverse_bits() >> 28), 4);
        }
        canonical(&lengths)
    }

    fn literals(&mut self, plane: &[u8], codes: &[Code; SYMBOLS]) {
        let mut at = self.bytes.len();
        self.bytes.resize(at + 2 * plane.len() + 16, 0);
        let (mut bits, mut n) = (self.bits, self.n_bits);
        let out = &mut self.bytes[..];
        // Four codes fit beside the 7 bits that may be left over. They are put together in pairs, so that
        // they need not wait for one another.
        let fours = plane.chunks_exact(4);
        let rest = fours.remainder();
        let four_codes = |four: &[u8]| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|k| codes[four[k] as usize]);
            a.then(b).then(c.then(d))
        };
        for code in fours.map(four_codes).chain(rest.iter().map(|&b| codes[b as usize])) {
            bits |= code.bits << n;
            n += code.length;
            out[at..at + 8].copy_from_slice(&bits.to_le_bytes());
            at += (n / 8) as usize;
            bits >>= n & !7;
            n &= 7;
        }
        (self.bits, self.n_bits) = (bits, n);
        self.bytes.truncate(at);
    }

    fn stored(&mut self, plane: &[u8]) {
        for block in plane.chunks(usize::from(u16::MAX)) {
            self.put(0, 3);
            self.align();
            let length = block.len() as u16;
            self.bytes.extend(length.to_le_bytes());
            self.bytes.extend((!length).to_le_bytes());
            self.bytes.extend_from_slice(block);
        }
    }

    /// Adler-32, sixteen bytes at a time: sums of lanes, and sums of these sums.
    fn sum(&mut self, bytes: &[u8]) {
        const LANES: usize = 16;
        // Sums of sums stay below 2^32 for so many rows.
        for block in bytes.chunks(LANES * 5_000) {
            let rows = block.chunks_exact(LANES);
            let rest = rows.remainder();
            let n_rows = rows.len() as u64;
            let (mut sums, mut sums_before) = ([0_u32; LANES], [0_u32; LANES]);
            for row in rows {
                for k in 0..LANES {
                    sums_before[k] += sums[k];
                    sums[k] += u32::from(row[k]);
                }
            }
            let n = n_rows * LANES as u64;
            let (mut a, mut b) = self.sums;
            b += n * a;
            for k in 0..LANES {
                let sum = u64::from(sums[k]);
                a += sum;
                b += LANES as u64 * u64::from(sums_before[k]) + (LANES - k) as u64 * sum;
            }
            for &byte in rest {
                a += u64::from(byte);
                b += a;
            }
            self.sums = (a % ADLER, b % ADLER);
        }
    }
}

/// Counts each byte, in four tables: the same byte twice in a row need not wait for itself.
fn count(plane: &[u8], counts: &mut [u32; SYMBOLS]) {
    let mut tables = [[0_u32; 256]; 4];
    let fours = plane.chunks_exact(4);
    fours.remainder().iter().for_each(|&b| counts[b as usize] += 1);
    for four in fours {
        for (table, &b) in tables.iter_mut().zip(four) {
            table[b as usize] += 1;
        }
    }
    for (k, count) in counts[..256].iter_mut().enumerate() {
        *count += tables.iter().map(|table| table[k]).sum::<u32>();
    }
}

/// How many bytes are the same as the one before.
fn repeats(plane: &[u8]) -> usize {
    let pairs = plane.chunks(128).zip(plane[1..].chunks(128));
    pairs.map(|(a, b)| a.iter().zip(b).map(|(a, b)| u8::from(a == b)).sum::<u8>() as usize).sum()
}

/// Whether codes for `n` bytes that occur `counts` times would make them hardly smaller.
fn is_noise(counts: &[u32; SYMBOLS], n: usize) -> bool {
    let bits = |&c: &u32| f64::from(c) * (n as f64 / f64::from(c)).log2();
    counts[..END].iter().filter(|&&c| c > 0).map(bits).sum::<f64>() > NOISE * 8.0 * n as f64
}

/// Lengths of Huffman codes for symbols that occur `counts` times; at most 12, 0 for what does not occur.
///
/// Two queues, of symbols by count and of what was put together (van Leeuwen 1976); where codes get too
/// long, others are made longer until all of them fit (Kraft's sum is 1 again).
fn code_lengths(counts: &[u32; SYMBOLS]) -> [u32; SYMBOLS] {
    let mut order: Vec<usize> = (0..SYMBOLS).filter(|&s| counts[s] > 0).collect();
    order.sort_by_key(|&s| counts[s]);
    let n = order.len();
    let mut lengths = [0; SYMBOLS];
    if n < 2 {
        order.iter().for_each(|&s| lengths[s] = 1);
        return lengths;
    }
    // Nodes: first the symbols by count, then pairs of nodes in the order in which they are made.
    let mut weights: Vec<u64> = order.iter().map(|&s| counts[s].into()).collect();
    let mut parents = vec![0; 2 * n - 1];
    let (mut leaf, mut pair) = (0, n);
    for made in n..2 * n - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            let lightest = if leaf < n && (pair == made || weights[leaf] <= weights[pair]) {
                leaf += 1;
                leaf - 1
            } else {
                pair += 1;
                pair - 1
            };
            weight += weights[lightest];
            parents[lightest] = made;
        }
        weights.push(weight);
    }
    let mut depths = vec![0_usize; 2 * n - 1];
    let mut of_length = [0_u32; LONGEST_CODE + 1];
    for node in (0..2 * n - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
        if node < n {
            of_length[depths[node].min(LONGEST_CODE)] += 1;
        }
    }
    let mut kraft: u32 = (1..=LONGEST_CODE).map(|l| of_length[l] << (LONGEST_CODE - l)).sum();
    while kraft > 1 << LONGEST_CODE {
        // One of the longest codes goes beside a shorter one, which gets a bit longer.
        of_length[LONGEST_CODE] -= 1;
        let shorter = (1..LONGEST_CODE).rev().find(|&l| of_length[l] > 0).unwrap_or(1);
        of_length[shorter] -= 1;
        of_length[shorter + 1] += 2;
        kraft -= 1;
    }
    let mut symbols = order.into_iter();
    for length in (1..=LONGEST_CODE).rev() {
        for symbol in symbols.by_ref().take(of_length[length] as usize) {
            lengths[symbol] = length as u32;
        }
    }
    lengths
}

/// The codes of these lengths (RFC 1951, section 3.2.2).
fn canonical(lengths: &[u32; SYMBOLS]) -> [Code; SYMBOLS] {
    let mut codes = [Code::default(); SYMBOLS];
    let mut next = 0_u32;
    for length in 1..=LONGEST_CODE as u32 {
        next <<= 1;
        for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, &l)| l == length) {
            *code = Code { bits: (next.reverse_bits() >> (32 - length)).into(), length };
            next += 1;
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What inflate makes of the stream is tested from Python, whose zlib is at hand there.
    #[test]
    fn nothing_at_all_is_a_stream_too() {
        assert_eq!(shuffle_deflate(&[]), [0x78, 0x01, 0x03, 0x00, 0, 0, 0, 1]);
    }

    /// The value is that of the article on Adler-32 in Wikipedia; a zero adds to the second sum alone.
    #[test]
    fn checksum() {
        let mut stream = Stream::new();
        stream.sum(b"Wikipedia");
        assert_eq!(stream.sums, (0x0398, 0x11e6));
        let (mut long, mut short) = (Stream::new(), Stream::new());
        let bytes: Vec<u8> = (0..200_000).map(|i| (i % 251) as u8 | 4).collect();
        long.sum(&bytes);
        bytes.chunks(7).for_each(|some| short.sum(some));
        assert_eq!(long.sums, short.sums);
        long.sum(&[0; 100]);
        short.zeros(100);
        assert_eq!(long.sums, short.sums);
    }

    /// Fibonacci numbers give the deepest trees: without a limit the rarest would get 24 bits.
    #[test]
    fn codes_are_short_and_complete() {
        let mut counts = [0; SYMBOLS];
        let (mut a, mut b) = (1, 1);
        for count in counts.iter_mut().take(25) {
            *count = a;
            (a, b) = (b, a + b);
        }
        let lengths = code_lengths(&counts);
        assert_eq!(lengths.iter().max(), Some(&(LONGEST_CODE as u32)));
        let kraft: u32 = lengths.iter().filter(|&&l| l > 0).map(|l| 1 << (LONGEST_CODE as u32 - l)).sum();
        assert_eq!(kraft, 1 << LONGEST_CODE);
        assert!(lengths[..25].windows(2).all(|l| l[0] >= l[1]));
        // By hand: counts 1, 1, 2, 4 have the codes 110, 111, 10, 0.
        let mut counts = [0; SYMBOLS];
        counts[..4].copy_from_slice(&[1, 1, 2, 4]);
        let codes = canonical(&code_lengths(&counts));
        let written: Vec<_> = codes[..4].iter().map(|c| (c.bits, c.length)).collect();
        assert_eq!(written, [(0b011, 3), (0b111, 3), (0b01, 2), (0b0, 1)]);
    }

    #[test]
    fn lengths_of_runs() {
        // RFC 1951: 265 is 11 and 12, 284 is 227 to 257, 285 is 258 alone.
        assert_eq!(length_symbol(3), (257, 0, 0));
        assert_eq!(length_symbol(10), (264, 0, 0));
        assert_eq!(length_symbol(12), (265, 1, 1));
        assert_eq!(length_symbol(257), (284, 30, 5));
        assert_eq!(length_symbol(258), (285, 0, 0));
    }
}
