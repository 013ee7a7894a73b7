"""The checker must see what it is there for. Run: python3 -m unittest discover -s ops/quickstart.d -p '*_test.py'"""

import unittest

from audit import Change, Record, audit


def change(version, key=1, op="UPDATE", table="orders"):
    return Change(table, (key,), version, op)


def records(*changes, partition="p0", names=None):
    """One record a change, named by the change itself unless told."""
    return [Record(partition, offset, (f"{c.table}:{c.key[0]}:{c.version}:{c.op}",) if names is None else names[offset], (c,))
            for offset, c in enumerate(changes)]


ONE, TWO, THREE, FOUR = (change(version) for version in (1, 2, 3, 4))
ALL = [ONE, TWO, THREE, FOUR]


class Audit(unittest.TestCase):
    def test_everything_once_and_in_order_is_clean(self):
        report = audit(ALL, records(*ALL))
        self.assertTrue(report.clean)
        self.assertEqual(report.line(), "4 changes committed, 4 delivered, 0 lost, 0 out of order, 0 duplicates")

    def test_a_lost_change_is_found(self):
        report = audit(ALL, records(ONE, TWO, FOUR))
        self.assertEqual(report.lost, [THREE])
        self.assertFalse(report.clean)

    def test_the_last_change_lost_is_found(self):
        self.assertEqual(audit(ALL, records(ONE, TWO, THREE)).lost, [FOUR])

    def test_a_lost_delete_is_found(self):
        delete = change(2, op="DELETE")
        self.assertEqual(audit([ONE, TWO, delete], records(ONE, TWO)).lost, [delete])

    def test_a_swapped_pair_is_found(self):
        report = audit(ALL, records(ONE, THREE, TWO, FOUR))
        self.assertEqual((len(report.lost), len(report.out_of_order)), (0, 1))
        self.assertFalse(report.clean)

    def test_a_delete_before_the_update_it_follows_is_found(self):
        delete = change(2, op="DELETE")
        self.assertEqual(len(audit([ONE, TWO, delete], records(ONE, delete, TWO)).out_of_order), 1)

    def test_a_repeat_is_a_duplicate_and_no_fault(self):
        report = audit(ALL, records(ONE, TWO, TWO, THREE, FOUR))
        self.assertEqual(report.duplicates, 1)
        self.assertTrue(report.clean)

    def test_a_rewind_and_a_whole_replay_are_duplicates(self):
        report = audit(ALL, records(ONE, TWO, THREE, TWO, THREE, FOUR, ONE, TWO, THREE, FOUR))
        self.assertEqual(report.duplicates, 6)
        self.assertTrue(report.clean)

    def test_a_hole_in_a_replay_is_found(self):
        self.assertEqual(len(audit(ALL, records(*ALL, ONE, TWO, FOUR)).out_of_order), 1)

    def test_something_new_inside_a_replay_is_found(self):
        self.assertEqual(len(audit(ALL, records(ONE, TWO, THREE, ONE, FOUR)).out_of_order), 1)

    def test_keys_do_not_disturb_each_other(self):
        others = [change(version, key=2) for version in (1, 2)]
        report = audit(ALL + others, records(ONE, others[0], TWO, ONE, TWO, others[1], THREE, FOUR))
        self.assertTrue(report.clean)
        self.assertEqual(report.duplicates, 2)

    def test_a_key_in_two_partitions_is_found(self):
        report = audit([ONE, TWO], records(ONE, partition="p0") + records(TWO, partition="p1"))
        self.assertEqual(len(report.out_of_order), 1)

    def test_a_change_that_was_never_committed_is_found(self):
        report = audit([ONE], records(ONE, TWO))
        self.assertEqual(len(report.unknown), 1)
        self.assertFalse(report.clean)

    def test_one_name_for_two_changes_is_found(self):
        self.assertFalse(audit([ONE, TWO], records(ONE, TWO, names=[("a",), ("a",)])).clean)

    def test_a_repeat_under_another_name_is_found(self):
        self.assertFalse(audit([ONE], records(ONE, ONE, names=[("a",), ("b",)])).clean)

    def test_a_record_of_several_rows_counts_each(self):
        row = change(1, key=2)
        report = audit([ONE, row], [Record("p0", 0, ("a",), (ONE, row)), Record("p0", 1, ("a",), (ONE, row))])
        self.assertEqual((report.delivered, report.duplicates, report.clean), (2, 2, True))

    def test_faults_are_told_in_words(self):
        text = "\n".join(audit(ALL, records(ONE, FOUR)).faults(most=1))
        self.assertIn("lost: UPDATE of orders 1 version 2", text)
        self.assertIn("lost: and 1 more", text)


if __name__ == "__main__":
    unittest.main()
