//! Makes a list shorter that shows a difference.

/// The shortest list that was found, in at most `tries` questions to `shows`, which says whether a list still shows what the whole one
/// does. Its last command stays. Pieces are left out, large ones first (Zeller's ddmin).
pub(super) fn shrink<T: Clone>(
    list: Vec<T>,
    mut tries: usize,
    mut shows: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut list = list;
    let mut piece = list.len().saturating_sub(1).div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let before = list.len();
        while at + 1 < list.len() && tries > 0 {
            let end = (at + piece).min(list.len() - 1);
            let without: Vec<T> = [&list[..at], &list[end..]].concat();
            tries -= 1;
            match shows(&without) {
                true => list = without,
                false => at = end,
            }
        }
        if tries == 0 || (piece == 1 && list.len() == before) {
            return list;
        }
        piece = piece.div_ceil(2).max(1);
        if piece == 1 && list.len() == 1 {
            return list;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_stays() {
        let list: Vec<u32> = (0..100).collect();
        let mut asked = 0;
        let short = shrink(list, 200, |list| {
            asked += 1;
            list.contains(&17) && list.contains(&60) && list.contains(&99)
        });
        assert_eq!(short, [17, 60, 99]);
        assert!(asked < 200);
    }

    #[test]
    fn tries_are_bounded() {
        let mut asked = 0;
        let short = shrink((0..100).collect(), 3, |_: &[u32]| {
            asked += 1;
            false
        });
        assert_eq!((short.len(), asked), (100, 3));
    }
}
