//! Block numbers: `u64` inside, `u16` on the wire (W-87: after 65535 comes 0).

/// The number of `block` on the wire.
pub fn to_wire(block: u64) -> u16 {
    (block & 0xffff) as u16
}

/// The one block in `lowest..=highest` whose number on the wire is `wire`. The range must be shorter than 65,536.
pub fn from_wire(wire: u16, lowest: u64, highest: u64) -> Option<u64> {
    let ahead = u64::from(wire.wrapping_sub(to_wire(lowest)));
    let block = lowest.checked_add(ahead)?;
    (block <= highest).then_some(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_65535_comes_0_and_then_1() {
        assert_eq!([65_534, 65_535, 65_536, 65_537].map(to_wire), [65_534, 65_535, 0, 1]);
        assert_eq!(from_wire(65_535, 65_533, 65_537), Some(65_535));
        assert_eq!(from_wire(0, 65_533, 65_537), Some(65_536));
        assert_eq!(from_wire(1, 65_533, 65_537), Some(65_537));
    }

    #[test]
    fn a_number_outside_the_range_names_no_block() {
        assert_eq!(from_wire(2, 65_533, 65_537), None);
        assert_eq!(from_wire(65_532, 65_533, 65_537), None);
        assert_eq!(from_wire(0, 1, 4), None);
        assert_eq!(from_wire(0, 0, 0), Some(0));
        assert_eq!(from_wire(9, u64::MAX, u64::MAX), None);
    }

    #[test]
    fn every_block_of_a_range_is_found_again_wherever_the_range_lies() {
        for lowest in [0u64, 1, 65_530, 131_070, (1 << 40) - 3] {
            for block in lowest..lowest + 130 {
                assert_eq!(from_wire(to_wire(block), lowest, lowest + 129), Some(block));
            }
        }
    }
}
