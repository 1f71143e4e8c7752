//! Logarithm and power in fixed-point integers: the same bits on every platform and in every build,
//! which `f64::ln` and `f64::powf` do not promise.
//!
//! Numbers are in Q32: 2^32 is one. Both functions interpolate in tables of 65 entries; the result is
//! within a ten-thousandth of the true one, far below what the measured distributions are exact to.

/// One in Q32.
pub(crate) const ONE: u64 = 1 << 32;

/// log2(1 + i/64) in Q32.
const LOG2: [u64; 65] = [
    0,
    96_069_025,
    190_671_291,
    283_850_912,
    375_650_043,
    466_108_993,
    555_266_330,
    643_158_981,
    729_822_324,
    815_290_272,
    899_595_355,
    982_768_792,
    1_064_840_562,
    1_145_839_467,
    1_225_793_196,
    1_304_728_379,
    1_382_670_639,
    1_459_644_648,
    1_535_674_166,
    1_610_782_092,
    1_684_990_500,
    1_758_320_682,
    1_830_793_181,
    1_902_427_829,
    1_973_243_777,
    2_043_259_528,
    2_112_492_963,
    2_180_961_373,
    2_248_681_479,
    2_315_669_461,
    2_381_940_981,
    2_447_511_201,
    2_512_394_810,
    2_576_606_038,
    2_640_158_677,
    2_703_066_101,
    2_765_341_278,
    2_826_996_792,
    2_888_044_853,
    2_948_497_313,
    3_008_365_682,
    3_067_661_140,
    3_126_394_546,
    3_184_576_458,
    3_242_217_134,
    3_299_326_552,
    3_355_914_416,
    3_411_990_165,
    3_467_562_987,
    3_522_641_820,
    3_577_235_372,
    3_631_352_118,
    3_685_000_315,
    3_738_188_006,
    3_790_923_031,
    3_843_213_029,
    3_895_065_449,
    3_946_487_554,
    3_997_486_426,
    4_048_068_976,
    4_098_241_947,
    4_148_011_918,
    4_197_385_310,
    4_246_368_396,
    4_294_967_296,
];

/// 2^(i/64) in Q32.
const EXP2: [u64; 65] = [
    4_294_967_296,
    4_341_736_423,
    4_389_014_833,
    4_436_808_071,
    4_485_121_744,
    4_533_961_517,
    4_583_333_121,
    4_633_242_347,
    4_683_695_048,
    4_734_697_143,
    4_786_254_615,
    4_838_373_510,
    4_891_059_943,
    4_944_320_094,
    4_998_160_210,
    5_052_586_606,
    5_107_605_667,
    5_163_223_846,
    5_219_447_668,
    5_276_283_726,
    5_333_738_689,
    5_391_819_295,
    5_450_532_358,
    5_509_884_764,
    5_569_883_475,
    5_630_535_530,
    5_691_848_042,
    5_753_828_203,
    5_816_483_285,
    5_879_820_635,
    5_943_847_684,
    6_008_571_941,
    6_074_001_000,
    6_140_142_534,
    6_207_004_303,
    6_274_594_148,
    6_342_919_999,
    6_411_989_869,
    6_481_811_861,
    6_552_394_164,
    6_623_745_059,
    6_695_872_913,
    6_768_786_189,
    6_842_493_438,
    6_917_003_306,
    6_992_324_534,
    7_068_465_956,
    7_145_436_504,
    7_223_245_206,
    7_301_901_189,
    7_381_413_680,
    7_461_792_005,
    7_543_045_592,
    7_625_183_973,
    7_708_216_783,
    7_792_153_760,
    7_877_004_752,
    7_962_779_710,
    8_049_488_696,
    8_137_141_881,
    8_225_749_546,
    8_315_322_086,
    8_405_870_007,
    8_497_403_930,
    8_589_934_592,
];

/// A value from a table of equally spaced ones, between the two nearest to `position` (Q32, in steps).
const fn between(table: &[u64], position: u64) -> u64 {
    let step = (position >> 32) as usize;
    if step + 1 >= table.len() {
        return table[table.len() - 1];
    }
    let (low, high) = (table[step], table[step + 1]);
    let part = (position & (ONE - 1)) as u128;
    // Tables rise.
    low + (((high - low) as u128 * part) >> 32) as u64
}

/// The base-2 logarithm of a whole number, in Q32; zero of zero.
pub(crate) const fn log2(x: u64) -> u64 {
    if x == 0 {
        return 0;
    }
    let whole = 63 - x.leading_zeros();
    // The bits below the leading one, as Q32 steps of 1/64.
    let mantissa = if whole == 0 { 0 } else { x << (64 - whole) };
    ((whole as u64) << 32) + between(&LOG2, mantissa >> 26)
}

/// Two to a power in Q32, itself in Q32; saturates.
pub(crate) const fn exp2(power: i64) -> u64 {
    let whole = power >> 32;
    let value = between(&EXP2, ((power & (ONE as i64 - 1)) as u64) << 6);
    if whole >= 31 {
        u64::MAX
    } else if whole >= 0 {
        value << whole
    } else if whole > -64 {
        value >> -whole
    } else {
        0
    }
}

/// An exponentially distributed number of mean one, in Q32, from a uniform word.
pub(crate) const fn exponential(word: u64) -> u64 {
    // -ln(u) = (64 - log2(word)) ln 2, with u = word / 2^64.
    const LN_2: u128 = 2_977_044_472;
    let bits = (64 << 32) - log2(word | 1);
    ((bits as u128 * LN_2) >> 32) as u64
}

/// A Weibull-distributed number of the given scale, from a uniform word: `scale * E^(1/shape)` with an
/// exponential E. The inverse of the shape is in Q32.
pub(crate) const fn weibull(word: u64, inverse_shape: u64, scale: u64) -> u64 {
    let log = log2(exponential(word)) as i128 - (32 << 32);
    let power = (log * inverse_shape as i128) >> 32;
    let value = (scale as u128 * exp2(power as i64) as u128) >> 32;
    if value > u64::MAX as u128 { u64::MAX } else { value as u64 }
}

/// The quantile of a distribution given by equally spaced ones, at a uniform word.
pub(crate) const fn quantile(table: &[u64], word: u64) -> u64 {
    let steps = (table.len() - 1) as u128;
    between(table, ((word as u128 * steps) >> 32) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Draw, Purpose};

    fn close(value: u64, truth: f64) {
        let value = value as f64 / ONE as f64;
        assert!((value - truth).abs() <= 2e-4 * truth.abs().max(1e-3), "{value} is not {truth}");
    }

    #[test]
    fn logarithm_and_power_agree_with_the_float_ones() {
        for x in [1u64, 2, 3, 5, 7, 100, 12_345, u64::MAX / 3, u64::MAX] {
            close(log2(x), (x as f64).log2());
        }
        for power in [-20.5f64, -3.25, -0.01, 0.0, 0.3, 1.0, 7.77, 30.9] {
            close(exp2((power * ONE as f64) as i64), power.exp2());
        }
        assert_eq!((exp2(i64::MAX), exp2(i64::MIN)), (u64::MAX, 0));
    }

    #[test]
    fn the_exponential_has_mean_and_median_of_one_and_ln_2() {
        let draw = Draw::new(1, Purpose::Sessions);
        let mut drawn: Vec<f64> =
            (0..20_000).map(|n| exponential(draw.word(n, 0)) as f64 / ONE as f64).collect();
        drawn.sort_by(f64::total_cmp);
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert!((drawn[10_000] - 2f64.ln()).abs() < 0.03, "{}", drawn[10_000]);
        assert!(exponential(0) > exponential(1 << 20) && exponential(u64::MAX) < ONE / 1_000);
    }

    #[test]
    fn weibull_sessions_have_the_quantiles_of_the_formula() {
        let draw = Draw::new(2, Purpose::Sessions);
        let inverse = (ONE as f64 / 0.68) as u64;
        let mut drawn: Vec<u64> = (0..20_000).map(|n| weibull(draw.word(n, 0), inverse, 14_900)).collect();
        drawn.sort_unstable();
        for share in [0.1f64, 0.5, 0.9] {
            let truth = 14_900.0 * (-(1.0 - share).ln()).powf(1.0 / 0.68);
            let found = drawn[(share * 20_000.0) as usize] as f64;
            assert!((found - truth).abs() < 0.06 * truth, "{share}: {found} is not {truth}");
        }
    }

    #[test]
    fn quantiles_reach_both_ends() {
        let table = [10, 20, 40];
        assert_eq!((quantile(&table, 0), quantile(&table, 1 << 63)), (10, 20));
        assert_eq!(quantile(&table, u64::MAX), 39);
        assert_eq!(quantile(&table, 3 << 62), 30);
    }
}
