import unittest

from harbor.fees import night_fee


class FeeTest(unittest.TestCase):
    def test_a_begun_metre_counts(self):
        self.assertEqual(2750, night_fee(10.2))

    def test_a_small_boat_pays_the_minimum(self):
        self.assertEqual(1500, night_fee(4.0))

    def test_a_boat_without_length_is_refused(self):
        with self.assertRaises(ValueError):
            night_fee(0)
